/**
 * Facts: what the broker itself says in a row (created, member, update, trim). Their bodies are
 * protobuf `parley.v1.Content` like every other body, so nobody downstream treats them differently:
 * gateways splice the body of every row as it is. Apply is pure and knows no protobuf library, so
 * the few fields are written here by hand; facts.test.ts reads them back with the real codec.
 */
import { utf8 } from './bytes.ts';
import { encodeId } from './ids.ts';
import { BODY_KIND, type BodyKind } from './row.ts';

/** Stored as numbers; the contract's names. The first is the default. */
export const ROLES = ['member', 'owner', 'admin', 'guest'] as const;
export const ROLE = { member: 0, owner: 1, admin: 2, guest: 3 } as const;

export const MEMBER_CHANGES = ['added', 'joined', 'left', 'removed', 'role'] as const;
export type MemberChange = (typeof MEMBER_CHANGES)[number];

/** Row 1 of a group. Users are raw ids. */
export interface CreatedFacts {
  readonly is: 'created';
  readonly name: string;
  readonly users: readonly Uint8Array[];
}

export interface MemberFacts {
  readonly is: 'member';
  readonly change: MemberChange;
  readonly role: number;
  readonly by: Uint8Array;
  readonly users: readonly Uint8Array[];
}

/** `fields` names what changed, in the contract's lowerCamelCase; the values stand in the resource. */
export interface UpdateFacts {
  readonly is: 'update';
  readonly fields: readonly string[];
  readonly name: string;
  readonly closed: boolean;
}

export interface TrimFacts {
  readonly is: 'trim';
  readonly from: number;
  readonly through: number;
}

export type Facts = CreatedFacts | MemberFacts | UpdateFacts | TrimFacts;

/** The body kind and the body of the row that states the facts. */
export function encodeFacts(facts: Facts): {
  readonly bodyKind: BodyKind;
  readonly body: Uint8Array;
} {
  const out = new ContentWriter();
  switch (facts.is) {
    case 'created':
      out.text(1, facts.name);
      out.users(2, facts.users);
      break;
    case 'member':
      out.users(1, facts.users);
      out.text(2, facts.change);
      out.text(3, ROLES[facts.role] ?? 'member');
      out.users(4, [facts.by]);
      break;
    case 'update':
      for (const field of facts.fields) out.text(1, field);
      out.text(2, facts.name);
      out.number(3, facts.closed ? 1 : 0);
      break;
    case 'trim':
      out.number(1, facts.from);
      out.number(2, facts.through);
      break;
  }
  const bodyKind = BODY_KIND[facts.is];
  // The field numbers of Content and the body kinds are the same numbers (content.proto).
  const content = new ContentWriter();
  content.bytes(bodyKind, out.finish());
  return { bodyKind, body: content.finish() };
}

/** The protobuf wire format, as far as facts need it (tag, varint, length-delimited). */
class ContentWriter {
  readonly #out: number[] = [];

  number(field: number, value: number): void {
    if (value === 0) return;
    this.#varint(field * 8);
    this.#varint(value);
  }

  text(field: number, value: string): void {
    if (value !== '') this.bytes(field, utf8(value));
  }

  users(field: number, users: readonly Uint8Array[]): void {
    for (const user of users) this.bytes(field, utf8(encodeId('usr', user)));
  }

  bytes(field: number, value: Uint8Array): void {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    for (const byte of value) this.#out.push(byte);
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#out);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 128) {
      this.#out.push((rest % 128) + 128);
      rest = Math.floor(rest / 128);
    }
    this.#out.push(rest);
  }
}
