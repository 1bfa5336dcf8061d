/**
 * Who belongs to a shard, as its own log tells: a configuration is in force at a replica from the
 * moment its entry stands in that replica's log, committed or not (Ongaro 2014 §4.1), so it moves
 * back when the entry is truncated. Encoding of the payload of a config entry.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId } from '../../core/ids.ts';
import type { ConfigurationTarget } from './contract.ts';
import type { Configuration, Entry, SnapshotDescriptor } from './message.ts';

const FORMAT = 1;
const ID_BYTES = 8;
/** Of each list; a shard has 3 to 5 voters and a learner or two. */
const MEMBERS_MAX = 64;

export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0;
}

export function isVoter(configuration: Configuration, id: ReplicaId): boolean {
  return configuration.voters.includes(id) || configuration.outgoing.includes(id);
}

/** Every replica that is sent the log, ascending, each once. */
export function membersOf(configuration: Configuration): ReplicaId[] {
  const { voters, outgoing, learners } = configuration;
  return [...new Set([...voters, ...outgoing, ...learners])].sort((a, b) => a - b);
}

export function votersOf(configuration: Configuration): ReplicaId[] {
  return [...new Set([...configuration.voters, ...configuration.outgoing])].sort((a, b) => a - b);
}

/** True if a shard may be made of it: at least one voter, no id twice, none 0. */
export function isWellFormed(target: ConfigurationTarget): boolean {
  const all = [...target.voters, ...target.learners];
  return (
    target.voters.length > 0 &&
    target.voters.length <= MEMBERS_MAX &&
    target.learners.length <= MEMBERS_MAX &&
    new Set(all).size === all.length &&
    all.every((id) => Number.isSafeInteger(id) && id > 0)
  );
}

/**
 * First step from `current` to `target`: joint if the voters change, else the target itself, since
 * learners decide nothing.
 */
export function firstStep(current: Configuration, target: ConfigurationTarget): Configuration {
  invariant(!isJoint(current), 'configuration.one-change-at-a-time');
  const voters = sorted(target.voters);
  const changes = !isSame(voters, current.voters);
  return { voters, outgoing: changes ? current.voters : [], learners: sorted(target.learners) };
}

/** The step that leaves a joint configuration. */
export function lastStep(joint: Configuration): Configuration {
  invariant(isJoint(joint), 'configuration.leaves-only-joint');
  return { voters: joint.voters, outgoing: [], learners: joint.learners };
}

export function isSameTarget(current: Configuration, target: ConfigurationTarget): boolean {
  return (
    isSame(current.voters, sorted(target.voters)) &&
    isSame(current.learners, sorted(target.learners))
  );
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const lists = [configuration.voters, configuration.outgoing, configuration.learners];
  const count = lists.reduce((sum, list) => sum + list.length, 0);
  const payload = new Uint8Array(1 + lists.length + count * ID_BYTES);
  const view = new DataView(payload.buffer);
  payload[0] = FORMAT;
  let at = 1;
  for (const list of lists) {
    invariant(list.length <= MEMBERS_MAX, 'configuration.members-bounded');
    payload[at++] = list.length;
    for (const id of list) {
      invariant(Number.isSafeInteger(id) && id > 0, 'configuration.id-positive');
      view.setUint32(at, Math.floor(id / 2 ** 32));
      view.setUint32(at + 4, id % 2 ** 32);
      at += ID_BYTES;
    }
  }
  return payload;
}

export function decodeConfiguration(payload: Uint8Array): Configuration {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  invariant(payload.length >= 4 && payload[0] === FORMAT, 'configuration.format-known');
  let at = 1;
  const list = (): ReplicaId[] => {
    const count = payload[at++] ?? 0;
    invariant(count <= MEMBERS_MAX, 'configuration.members-bounded');
    invariant(at + count * ID_BYTES <= payload.length, 'configuration.payload-whole');
    const ids: ReplicaId[] = [];
    for (let i = 0; i < count; i++, at += ID_BYTES)
      ids.push((view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4)) as ReplicaId);
    return ids;
  };
  const configuration = { voters: list(), outgoing: list(), learners: list() };
  invariant(at === payload.length, 'configuration.payload-exact');
  return configuration;
}

/**
 * The configurations of one log, oldest first. The first is that of the log's base and always
 * there; each other belongs to a config entry above it.
 */
export class ConfigurationHistory {
  #steps: { index: Index; configuration: Configuration }[];

  constructor(base: SnapshotDescriptor) {
    this.#steps = [{ index: base.index, configuration: base.configuration }];
  }

  get current(): Configuration {
    return this.#newest.configuration;
  }

  /** Index of the entry that made the current one; the log's base if none did. */
  get currentIndex(): Index {
    return this.#newest.index;
  }

  /** The one that holds again if the current entry is truncated; the current one if none does. */
  get previous(): Configuration {
    return (this.#steps.at(-2) ?? this.#newest).configuration;
  }

  at(index: Index): Configuration {
    const found = this.#steps.findLast((step) => step.index <= index);
    invariant(found !== undefined, 'configuration.index-in-log', { index });
    return found.configuration;
  }

  append(entry: Entry): void {
    invariant(entry.kind === 'config', 'configuration.entry-kind');
    invariant(entry.index > this.currentIndex, 'configuration.history-rises');
    this.#steps.push({
      index: entry.index,
      configuration: decodeConfiguration(entry.payload),
    });
  }

  truncateFrom(index: Index): void {
    while (this.#steps.length > 1 && this.#newest.index >= index) this.#steps.pop();
    invariant(this.currentIndex < index, 'configuration.base-never-truncated', { index });
  }

  compact(index: Index): void {
    while ((this.#steps[1]?.index ?? Infinity) <= index) this.#steps.shift();
  }

  get #newest(): { index: Index; configuration: Configuration } {
    const newest = this.#steps.at(-1);
    invariant(newest !== undefined, 'configuration.base-kept');
    return newest;
  }
}

function sorted(ids: readonly ReplicaId[]): ReplicaId[] {
  return [...ids].sort((a, b) => a - b);
}

function isSame(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
