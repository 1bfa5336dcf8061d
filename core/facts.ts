/**
 * Facts: bodies of the rows that the broker makes itself (created, member, update, trim). Apply is
 * pure and knows no protobuf, so it writes these; gateways render them as parley.v1.Content.
 * Disk format: golden bytes guard it.
 */
import { ByteReader, ByteWriter } from './bytes.ts';
import { invariant } from './invariant.ts';
import { BODY_KIND, type BodyKind } from './row.ts';

/** Stored as numbers; the contract's names. The first is the default. */
export const ROLES = ['member', 'owner', 'admin', 'guest'] as const;
export type Role = (typeof ROLES)[number];
export const ROLE = { member: 0, owner: 1, admin: 2, guest: 3 } as const;

export const MEMBER_CHANGES = ['added', 'joined', 'left', 'removed', 'role'] as const;
export type MemberChange = (typeof MEMBER_CHANGES)[number];

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

export function encodeFacts(facts: Facts): Uint8Array {
  const out = new ByteWriter(64);
  switch (facts.is) {
    case 'created':
      out.text(facts.name);
      writeUsers(out, facts.users);
      break;
    case 'member':
      out.u8(MEMBER_CHANGES.indexOf(facts.change)).u8(facts.role).raw(facts.by);
      writeUsers(out, facts.users);
      break;
    case 'update':
      out
        .u8(facts.closed ? 1 : 0)
        .text(facts.name)
        .u16(facts.fields.length);
      for (const field of facts.fields) out.text(field);
      break;
    case 'trim':
      out.u53(facts.from).u53(facts.through);
      break;
  }
  return out.finish();
}

export function decodeFacts(bodyKind: BodyKind, body: Uint8Array): Facts {
  const input = new ByteReader(body);
  switch (bodyKind) {
    case BODY_KIND.created:
      return { is: 'created', name: input.text(), users: readUsers(input) };
    case BODY_KIND.member: {
      const change = MEMBER_CHANGES[input.u8()];
      invariant(change !== undefined, 'facts.member-change-known');
      return { is: 'member', change, role: input.u8(), by: input.raw(16), users: readUsers(input) };
    }
    case BODY_KIND.update: {
      const closed = input.u8() === 1;
      const name = input.text();
      return {
        is: 'update',
        closed,
        name,
        fields: Array.from({ length: input.u16() }, () => input.text()),
      };
    }
    case BODY_KIND.trim:
      return { is: 'trim', from: input.u53(), through: input.u53() };
    default:
      invariant(false, 'facts.kind-known', { bodyKind });
  }
}

function writeUsers(out: ByteWriter, users: readonly Uint8Array[]): void {
  out.u16(users.length);
  for (const user of users) out.raw(user);
}

function readUsers(input: ByteReader): Uint8Array[] {
  return Array.from({ length: input.u16() }, () => input.raw(16));
}
