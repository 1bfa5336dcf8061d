/**
 * The form of commands other than sends, and the reader of any command: general, where command.ts
 * writes and reads a send in place. Disk formats: golden bytes guard them (command.test.ts).
 */
import { ByteReader, ByteWriter, readU53, viewOf } from './bytes.ts';
import {
  COMMAND_HEADER_BYTES,
  COMMAND_KIND,
  COMMAND_VERSION,
  SendView,
  commandKind,
  type Command,
  type CommandKind,
  type GroupChange,
  type GroupSettings,
  type SendCommand,
  type SetMyStateCommand,
  type UpdateConversationCommand,
} from './command.ts';
import { invariant } from './invariant.ts';

/** Bytes of any command but a send. */
export function encodeCommand(command: Exclude<Command, SendCommand>): Uint8Array {
  const out = new ByteWriter(128);
  // A change of settings has its own in the tail.
  const isChange = 'ifVersion' in command && command.kind !== COMMAND_KIND.updateConversation;
  const ifVersion = isChange ? (command.ifVersion ?? 0) : 0;
  out.u8(COMMAND_VERSION).u8(command.kind).u16(0).u32(0).u53(command.timeMs).u53(ifVersion);
  out.raw(command.key).raw(command.caller);
  encodeTail(command, out);
  return out.finish();
}

function encodeTail(command: Exclude<Command, SendCommand>, out: ByteWriter): void {
  switch (command.kind) {
    case COMMAND_KIND.mark:
      out.u53(command.deliveredThrough).u53(command.readThrough);
      return;
    case COMMAND_KIND.createGroup:
      out.raw(command.requestId).text(command.name).u16(command.members.length);
      for (const member of command.members) out.raw(member);
      encodeSettings(command.settings, out);
      return;
    case COMMAND_KIND.addMembers:
      out.u8(command.role).u16(command.users.length);
      for (const user of command.users) out.raw(user);
      return;
    case COMMAND_KIND.removeMember:
      out.raw(command.user);
      return;
    case COMMAND_KIND.setRole:
      out.raw(command.user).u8(command.role);
      return;
    case COMMAND_KIND.updateConversation:
      encodeUpdate(command, out);
      return;
    case COMMAND_KIND.closeConversation:
      return;
    case COMMAND_KIND.setMyState:
      encodeMyState(command, out);
      return;
    case COMMAND_KIND.setBlock:
      out.raw(command.peer).u8(command.blocked ? 1 : 0);
      return;
    case COMMAND_KIND.accountMembership:
      out
        .raw(command.conversation)
        .u8(command.joined ? 1 : 0)
        .u53(command.sequence);
      return;
    case COMMAND_KIND.accountSessionRevoked:
      out.raw(command.session);
      return;
    case COMMAND_KIND.shardSettings:
      out
        .raw(command.clusterId)
        .u53(command.epoch)
        .u32(command.membersMax)
        .u53(command.editWindowMs);
      out.u32(command.editsMax).u32(command.featureLevel).bytes(command.hashKey);
      return;
  }
}

function encodeSettings(settings: GroupSettings, out: ByteWriter): void {
  out.u8(
    (settings.historyAll ? 1 : 0) |
      (settings.sendAdminsOnly ? 2 : 0) |
      (settings.addMembersToo ? 4 : 0),
  );
  out.u32(settings.slowModeMs);
}

function decodeSettings(input: ByteReader): GroupSettings {
  const bits = input.u8();
  return {
    historyAll: (bits & 1) !== 0,
    sendAdminsOnly: (bits & 2) !== 0,
    addMembersToo: (bits & 4) !== 0,
    slowModeMs: input.u32(),
  };
}

function encodeUpdate(command: UpdateConversationCommand, out: ByteWriter): void {
  const present =
    (command.name === undefined ? 0 : 1) |
    (command.pictureMediaId === undefined ? 0 : 2) |
    (command.settings === undefined ? 0 : 4);
  out.u8(present).u53(command.ifVersion);
  if (command.name !== undefined) out.text(command.name);
  if (command.pictureMediaId !== undefined) out.text(command.pictureMediaId);
  if (command.settings !== undefined) encodeSettings(command.settings, out);
}

const MY_STATE_BITS = [
  'notify',
  'muteUntilMs',
  'archived',
  'pinned',
  'markedUnread',
  'clearedThrough',
] as const;

function encodeMyState(command: SetMyStateCommand, out: ByteWriter): void {
  let present = 0;
  for (const [i, name] of MY_STATE_BITS.entries())
    if (command[name] !== undefined) present |= 1 << i;
  out.u8(present);
  for (const name of MY_STATE_BITS) {
    const value = command[name];
    if (value !== undefined) out.u53(Number(value));
  }
}

/** The command in the bytes. Bytes inside it are views of the input. */
export function decodeCommand(bytes: Uint8Array): Command {
  invariant(bytes[0] === COMMAND_VERSION, 'command.version-known', () => ({
    version: bytes[0] ?? 0,
  }));
  const view = viewOf(bytes);
  const ifVersion = readU53(view, 16);
  const header = {
    ...(ifVersion === 0 ? {} : { ifVersion }),
    timeMs: readU53(view, 8),
    key: bytes.subarray(24, 40),
    caller: bytes.subarray(40, 56),
  };
  const kind = commandKind(bytes);
  if (kind === COMMAND_KIND.send) return decodeSend(bytes, header);
  const input = new ByteReader(bytes, COMMAND_HEADER_BYTES);
  return kind < COMMAND_KIND.accountMembership
    ? decodeConversationCommand(kind, header, input)
    : decodeOtherCommand(kind, header, input);
}

type Common = Omit<GroupChange, 'kind'>;

function decodeSend(bytes: Uint8Array, header: Common): SendCommand {
  const send = new SendView(bytes);
  return {
    kind: COMMAND_KIND.send,
    ...header,
    flags: send.flags,
    bodyKind: send.bodyKind,
    clientSeq: send.clientSeq,
    after: send.after,
    target: send.target,
    device: send.device,
    outbox: send.outbox,
    clientMessageId: send.clientMessageId,
    payloadHash: send.payloadHash,
    peer: send.peer,
    mentions: send.mentions,
    body: send.body,
  };
}

function decodeUsers(input: ByteReader): Uint8Array[] {
  return Array.from({ length: input.u16() }, () => input.raw(16));
}

function decodeConversationCommand(kind: CommandKind, header: Common, input: ByteReader): Command {
  switch (kind) {
    case COMMAND_KIND.mark:
      return { kind, ...header, deliveredThrough: input.u53(), readThrough: input.u53() };
    case COMMAND_KIND.createGroup:
      return {
        kind,
        ...header,
        requestId: input.raw(16),
        name: input.text(),
        members: decodeUsers(input),
        settings: decodeSettings(input),
      };
    case COMMAND_KIND.addMembers:
      return { kind, ...header, role: input.u8(), users: decodeUsers(input) };
    case COMMAND_KIND.removeMember:
      return { kind, ...header, user: input.raw(16) };
    case COMMAND_KIND.setRole:
      return { kind, ...header, user: input.raw(16), role: input.u8() };
    case COMMAND_KIND.updateConversation:
      return decodeUpdate(header, input);
    case COMMAND_KIND.closeConversation:
      return { kind, ...header };
    case COMMAND_KIND.setMyState:
      return decodeMyState(header, input);
    case COMMAND_KIND.setBlock:
      return { kind, ...header, peer: input.raw(16), blocked: input.u8() === 1 };
    default:
      invariant(false, 'command.kind-known', { kind });
  }
}

function decodeOtherCommand(kind: CommandKind, header: Common, input: ByteReader): Command {
  switch (kind) {
    case COMMAND_KIND.accountMembership:
      return {
        kind,
        ...header,
        conversation: input.raw(16),
        joined: input.u8() === 1,
        sequence: input.u53(),
      };
    case COMMAND_KIND.accountSessionRevoked:
      return { kind, ...header, session: input.raw(16) };
    case COMMAND_KIND.shardSettings:
      return {
        kind,
        ...header,
        clusterId: input.raw(16),
        epoch: input.u53(),
        membersMax: input.u32(),
        editWindowMs: input.u53(),
        editsMax: input.u32(),
        featureLevel: input.u32(),
        hashKey: input.bytes(),
      };
    default:
      invariant(false, 'command.kind-known', { kind });
  }
}

function decodeUpdate(header: Common, input: ByteReader): UpdateConversationCommand {
  const present = input.u8();
  const ifVersion = input.u53();
  return {
    kind: COMMAND_KIND.updateConversation,
    ...header,
    ifVersion,
    ...((present & 1) === 0 ? {} : { name: input.text() }),
    ...((present & 2) === 0 ? {} : { pictureMediaId: input.text() }),
    ...((present & 4) === 0 ? {} : { settings: decodeSettings(input) }),
  };
}

function decodeMyState(header: Common, input: ByteReader): SetMyStateCommand {
  const present = input.u8();
  const read = (i: number): number | undefined =>
    (present & (1 << i)) === 0 ? undefined : input.u53();
  const [notify, muteUntilMs, archived, pinned, markedUnread, clearedThrough] = MY_STATE_BITS.map(
    (_, i) => read(i),
  );
  return {
    kind: COMMAND_KIND.setMyState,
    ...header,
    ...(notify === undefined ? {} : { notify }),
    ...(muteUntilMs === undefined ? {} : { muteUntilMs }),
    ...(archived === undefined ? {} : { archived: archived === 1 }),
    ...(pinned === undefined ? {} : { pinned: pinned === 1 }),
    ...(markedUnread === undefined ? {} : { markedUnread: markedUnread === 1 }),
    ...(clearedThrough === undefined ? {} : { clearedThrough }),
  };
}
