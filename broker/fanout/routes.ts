/**
 * Which users each gateway serves: user → (outlet, handle). A gateway gives every user that it
 * serves a 4-byte number of its own; frames name people by these numbers alone.
 */
import { IdMap } from '../../core/id-map.ts';
import type { SlabWriter } from '../../core/record.ts';

/** A gateway's Link as fan-out sees it. */
export interface Outlet {
  readonly out: SlabWriter;
  /** False while the other side is behind: nothing may be pushed, and the hole is announced. */
  readonly isWritable: boolean;
  /** Something of this shard was not sent. The feed announces it as soon as there is room. */
  missed(shard: number): void;
  /** Handles gathered by the plan under way; empty between plans. */
  readonly planned: number[];
}

export interface Route {
  readonly outlet: Outlet;
  readonly handle: number;
}

interface Served {
  readonly user: Uint8Array;
  readonly routes: Route[];
}

interface Followed {
  readonly conversation: Uint8Array;
  readonly outlets: Set<Outlet>;
}

export class Routes {
  readonly #served = new IdMap<Served>();
  readonly #handles = new Map<Outlet, Map<number, Served>>();
  readonly #followed = new IdMap<Followed>();
  readonly #following = new Map<Outlet, Set<Uint8Array>>();

  /** Users served by at least one gateway. */
  get userCount(): number {
    return this.#served.size;
  }

  of(user: Uint8Array): readonly Route[] | undefined {
    return this.#served.get(user)?.routes;
  }

  /** A handle that is known already moves to the new user. */
  add(outlet: Outlet, handle: number, user: Uint8Array): void {
    const handles = this.#handlesOf(outlet);
    if (handles.has(handle)) this.remove(outlet, handle);
    let served = this.#served.get(user);
    if (served === undefined) {
      served = { user: user.slice(), routes: [] };
      this.#served.set(served.user, served);
    }
    served.routes.push({ outlet, handle });
    handles.set(handle, served);
  }

  remove(outlet: Outlet, handle: number): void {
    const handles = this.#handles.get(outlet);
    const served = handles?.get(handle);
    if (handles === undefined || served === undefined) return;
    handles.delete(handle);
    const at = served.routes.findIndex(
      (route) => route.outlet === outlet && route.handle === handle,
    );
    served.routes.splice(at, 1);
    if (served.routes.length === 0) this.#served.delete(served.user);
  }

  /** Rows of the conversation go to this outlet whoever its members are: an internal service follows it. */
  follow(outlet: Outlet, conversation: Uint8Array): void {
    let followed = this.#followed.get(conversation);
    if (followed === undefined) {
      followed = { conversation: conversation.slice(), outlets: new Set() };
      this.#followed.set(followed.conversation, followed);
    }
    followed.outlets.add(outlet);
    const following = this.#following.get(outlet) ?? new Set();
    this.#following.set(outlet, following.add(followed.conversation));
  }

  unfollow(outlet: Outlet, conversation: Uint8Array): void {
    const followed = this.#followed.get(conversation);
    if (followed === undefined) return;
    followed.outlets.delete(outlet);
    this.#following.get(outlet)?.delete(followed.conversation);
    if (followed.outlets.size === 0) this.#followed.delete(conversation);
  }

  /** Outlets that follow the conversation; cheap while nobody follows anything. */
  followers(conversation: Uint8Array): ReadonlySet<Outlet> | undefined {
    return this.#followed.size === 0 ? undefined : this.#followed.get(conversation)?.outlets;
  }

  /** Forgets what an outlet follows: its Link is over. */
  unfollowAll(outlet: Outlet): void {
    for (const conversation of [...(this.#following.get(outlet) ?? [])])
      this.unfollow(outlet, conversation);
    this.#following.delete(outlet);
  }

  /** Forgets all that an outlet served: it told its whole set anew, or its Link is over. */
  drop(outlet: Outlet): void {
    for (const handle of [...(this.#handles.get(outlet)?.keys() ?? [])])
      this.remove(outlet, handle);
    this.#handles.delete(outlet);
  }

  #handlesOf(outlet: Outlet): Map<number, Served> {
    let handles = this.#handles.get(outlet);
    if (handles === undefined) {
      handles = new Map();
      this.#handles.set(outlet, handles);
    }
    return handles;
  }
}
