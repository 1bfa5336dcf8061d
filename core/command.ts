/**
 * Commands: what is proposed to a shard's log. A gateway decodes a request once, checks it, and
 * writes down here what `apply` needs, beside the body bytes that the broker never decodes. The
 * encoded command is the payload of a `command` record and, with the leader's stamp in it, the
 * payload of the log entry. These are disk formats: golden bytes guard them (command.test.ts).
 */
import { EMPTY, readU53, viewOf, writeU53 } from './bytes.ts';
import { invariant } from './invariant.ts';
import type { BodyKind } from './row.ts';

export const COMMAND_VERSION = 1;

export const COMMAND_KIND = {
  send: 1,
  mark: 2,
  createGroup: 3,
  addMembers: 4,
  removeMember: 5,
  setRole: 6,
  updateConversation: 7,
  closeConversation: 8,
  setMyState: 9,
  setBlock: 10,
  accountMembership: 32,
  accountSessionRevoked: 33,
  shardSettings: 48,
} as const;
export type CommandKind = (typeof COMMAND_KIND)[keyof typeof COMMAND_KIND];

/** Every command begins with these 24 bytes: u8 version, u8 kind, u16 flags, u32 0, u53 stamp, u53 ifVersion of a GroupChange (else 0); then 16 bytes key (conversation or user) and 16 bytes caller. */
export const COMMAND_KEY_OFFSET = 24;
export const COMMAND_HEADER_BYTES = 56;

export interface CommandHeader {
  readonly kind: CommandKind;
  /** The leader's stamp: 0 until `stampCommand`. */
  readonly timeMs: number;
  /** Conversation, or for account commands the user: what decides slot and shard. */
  readonly key: Uint8Array;
  /** The user on whose behalf it is proposed; zero for the broker itself. */
  readonly caller: Uint8Array;
}

export const SEND_FLAG = {
  countable: 1,
  silent: 2,
  mentionAll: 4,
  outbox: 16,
  /** `peer` is set: it was addressed as `direct:usr_x` and may create the conversation. */
  direct: 64,
  /** `target` is a clientSeq of the own outbox, not a sequence. */
  targetIsClientSeq: 128,
  /** A gateway's refusal by facts outside the log: answered only if the window has no hit; `target` holds nothing, the body is the reason's text. */
  veto: 256,
} as const;

/** What a user sends; see Row for the meaning of the fields. `after` 0 = first of its outbox here. */
export interface SendCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.send;
  readonly flags: number;
  readonly bodyKind: BodyKind;
  readonly clientSeq: number;
  readonly after: number;
  readonly target: number;
  readonly device: Uint8Array;
  readonly outbox: Uint8Array;
  readonly clientMessageId: Uint8Array;
  /** Keyed hash of (clientMessageId, body): equal content is recognised, nothing is revealed. */
  readonly payloadHash: Uint8Array;
  /** The other user of a direct, or zero. Equal to the caller for notes to self. */
  readonly peer: Uint8Array;
  readonly mentions: Uint8Array;
  readonly body: Uint8Array;
}

export interface MarkCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.mark;
  /** 0 = unchanged. */
  readonly deliveredThrough: number;
  readonly readThrough: number;
}

/** Settings of a group; bits so that a header holds them in one byte each. */
export interface GroupSettings {
  readonly historyAll: boolean;
  readonly sendAdminsOnly: boolean;
  readonly addMembersToo: boolean;
  readonly slowModeMs: number;
}

export interface CreateGroupCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.createGroup;
  readonly requestId: Uint8Array;
  readonly name: string;
  readonly members: readonly Uint8Array[];
  readonly settings: GroupSettings;
}

/** A change of a group that may depend on what its sender read of it. */
export interface GroupChange extends CommandHeader {
  /** Etag of the conversation that must still hold; absent = any. */
  readonly ifVersion?: number;
}

export interface AddMembersCommand extends GroupChange {
  readonly kind: typeof COMMAND_KIND.addMembers;
  readonly users: readonly Uint8Array[];
  readonly role: number;
}

export interface RemoveMemberCommand extends GroupChange {
  readonly kind: typeof COMMAND_KIND.removeMember;
  readonly user: Uint8Array;
}

export interface SetRoleCommand extends GroupChange {
  readonly kind: typeof COMMAND_KIND.setRole;
  readonly user: Uint8Array;
  readonly role: number;
}

/** Absent = unchanged. */
export interface UpdateConversationCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.updateConversation;
  readonly name?: string;
  readonly pictureMediaId?: string;
  readonly settings?: GroupSettings;
  /** Etag that must still hold; 0 = any. */
  readonly ifVersion: number;
}

export interface CloseConversationCommand extends GroupChange {
  readonly kind: typeof COMMAND_KIND.closeConversation;
}

/** Own registers; absent = unchanged. `peer` set = the direct with that user, which may not exist yet. */
export interface SetMyStateCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.setMyState;
  readonly notify?: number;
  readonly muteUntilMs?: number;
  readonly archived?: boolean;
  readonly pinned?: boolean;
  readonly markedUnread?: boolean;
  readonly clearedThrough?: number;
}

export interface SetBlockCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.setBlock;
  readonly peer: Uint8Array;
  readonly blocked: boolean;
}

/** In the user's shard, by the courier: idempotent, the highest sequence wins. */
export interface AccountMembershipCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.accountMembership;
  readonly conversation: Uint8Array;
  readonly joined: boolean;
  readonly sequence: number;
}

export interface AccountSessionRevokedCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.accountSessionRevoked;
  readonly session: Uint8Array;
}

/** What `apply` needs of configuration, as entries of every shard's log. */
export interface ShardSettingsCommand extends CommandHeader {
  readonly kind: typeof COMMAND_KIND.shardSettings;
  readonly clusterId: Uint8Array;
  readonly epoch: number;
  readonly membersMax: number;
  readonly editWindowMs: number;
  readonly editsMax: number;
  readonly featureLevel: number;
  /** Key of payload hashes, 32 bytes; readable by members of the cluster only (the log is encrypted). */
  readonly hashKey: Uint8Array;
}

export type Command =
  | SendCommand
  | MarkCommand
  | CreateGroupCommand
  | AddMembersCommand
  | RemoveMemberCommand
  | SetRoleCommand
  | UpdateConversationCommand
  | CloseConversationCommand
  | SetMyStateCommand
  | SetBlockCommand
  | AccountMembershipCommand
  | AccountSessionRevokedCommand
  | ShardSettingsCommand;

// A send, after the 56 bytes of the header (flags at 2):
//  56 u8 body kind   57 u8 0   58 u16 mentions   60 u32 0   64 u53 clientSeq   72 u53 after   80 u53 target
//  88 device   104 outbox   120 clientMessageId   136 payloadHash   152 peer   168 mentions × 16, then the body
const SEND_FIXED_BYTES = 168;

/** Where the 16-byte fields of an encoded send lie, for readers that compare or copy in place. */
export const SEND_AT = {
  key: 24,
  caller: 40,
  /** device, outbox, clientMessageId, payloadHash: in a row's order. */
  device: 88,
  outbox: 104,
  clientMessageId: 120,
  payloadHash: 136,
  peer: 152,
  mentions: 168,
} as const;

export function commandKind(bytes: Uint8Array): CommandKind {
  return bytes[1] as CommandKind;
}

/** The conversation (or user) that the command is about: a view. */
export function commandKey(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(COMMAND_KEY_OFFSET, COMMAND_KEY_OFFSET + 16);
}

/** Writes the leader's stamp into an encoded command, in place, before it is proposed. */
export function stampCommand(bytes: Uint8Array, timeMs: number): void {
  writeU53(viewOf(bytes), 8, timeMs);
}

export function encodeSend(command: Omit<SendCommand, 'kind'>): Uint8Array {
  const bytes = new Uint8Array(SEND_FIXED_BYTES + command.mentions.length + command.body.length);
  const view = viewOf(bytes);
  bytes[0] = COMMAND_VERSION;
  bytes[1] = COMMAND_KIND.send;
  view.setUint16(2, command.flags, true);
  writeU53(view, 8, command.timeMs);
  bytes.set(command.key, 24);
  bytes.set(command.caller, 40);
  bytes[56] = command.bodyKind;
  view.setUint16(58, command.mentions.length / 16, true);
  writeU53(view, 64, command.clientSeq);
  writeU53(view, 72, command.after);
  writeU53(view, 80, command.target);
  bytes.set(command.device, 88);
  bytes.set(command.outbox, 104);
  bytes.set(command.clientMessageId, 120);
  bytes.set(command.payloadHash, 136);
  bytes.set(command.peer, 152);
  bytes.set(command.mentions, SEND_FIXED_BYTES);
  bytes.set(command.body, SEND_FIXED_BYTES + command.mentions.length);
  return bytes;
}

/** Reads a send in place; the one command on the hot path. */
export class SendView {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    invariant(
      bytes.length >= SEND_FIXED_BYTES && bytes[1] === COMMAND_KIND.send,
      'command.is-send',
      { length: bytes.length },
    );
    this.bytes = bytes;
    this.#view = viewOf(bytes);
  }

  get flags(): number {
    return this.#view.getUint16(2, true);
  }
  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
  get timeMs(): number {
    return readU53(this.#view, 8);
  }
  get key(): Uint8Array {
    return this.bytes.subarray(24, 40);
  }
  get caller(): Uint8Array {
    return this.bytes.subarray(40, 56);
  }
  get bodyKind(): BodyKind {
    return this.bytes[56] as BodyKind;
  }
  get mentionCount(): number {
    return this.#view.getUint16(58, true);
  }
  get clientSeq(): number {
    return readU53(this.#view, 64);
  }
  get after(): number {
    return readU53(this.#view, 72);
  }
  get target(): number {
    return readU53(this.#view, 80);
  }
  get device(): Uint8Array {
    return this.bytes.subarray(88, 104);
  }
  get outbox(): Uint8Array {
    return this.bytes.subarray(104, 120);
  }
  get clientMessageId(): Uint8Array {
    return this.bytes.subarray(120, 136);
  }
  get payloadHash(): Uint8Array {
    return this.bytes.subarray(136, 152);
  }
  get peer(): Uint8Array {
    return this.bytes.subarray(152, 168);
  }
  get mentions(): Uint8Array {
    return this.bytes.subarray(SEND_FIXED_BYTES, SEND_FIXED_BYTES + this.mentionCount * 16);
  }
  get body(): Uint8Array {
    return this.bytes.subarray(SEND_FIXED_BYTES + this.mentionCount * 16);
  }
}

/** Sixteen zero bytes: "nobody", "no device", "no outbox". */
export const NO_ID: Uint8Array = new Uint8Array(16);
export const NO_MENTIONS: Uint8Array = EMPTY;
