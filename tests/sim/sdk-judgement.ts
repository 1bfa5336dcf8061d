/** Judges what the SDK shows its user at the very end against the truth. */
import type { Client, Row, Timeline } from '@parley/sdk';
import { EARNED_REFUSALS } from './device-outbox.ts';
import { mayHaveSeen, messagesOf, unreadOf, type TrueConversation } from './final-log.ts';
import type { SdkDevice } from './sdk-device.ts';

const PAGES_MAX = 100;
const PAUSE_MS = 50;
/** An outbox that gave up says so; and what its writer gave up. */
const EXPECTED: ReadonlySet<string> = new Set([...EARNED_REFUSALS, 'COMMIT_UNKNOWN', 'CANCELED']);

/** Everything a client shows, row by row. Needs time to pass. */
export async function shownBy(
  client: Client,
  logs: readonly TrueConversation[],
  device: SdkDevice,
): Promise<Map<string, readonly Row[]>> {
  const shown = new Map<string, readonly Row[]>();
  for (const log of logs) {
    if (log.members.get(device.userId)?.isMember !== true) continue;
    const timeline = client.conversation(log.id).timeline('latest');
    shown.set(log.id, await wholeOf(timeline, device));
    timeline.close();
  }
  return shown;
}

/** All rows, from the newest backwards: a timeline keeps 200 of them at once. */
async function wholeOf(timeline: Timeline, device: SdkDevice): Promise<readonly Row[]> {
  const rows = new Map<string, Row>();
  await timeline.moveTo('latest');
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const state = timeline.get();
    for (const row of state.rows) if (row.is !== 'hole') rows.set(row.key, row);
    const oldest = state.rows.find((row) => row.is !== 'hole');
    const reached = oldest !== undefined && 'sequence' in oldest ? (oldest.sequence ?? 0) : 0;
    const hasHole = state.rows.some((row) => row.is === 'hole');
    if (state.head === 0 || (reached > 0 && reached <= state.first && !hasHole)) break;
    await timeline.more('older');
    // Holes inside are filled in by the timeline itself.
    if (hasHole) await new Promise<void>((done) => device.scope.after(PAUSE_MS, done));
  }
  return [...rows.values()];
}

export function judgeSdk(
  device: SdkDevice,
  logs: readonly TrueConversation[],
  shown: ReadonlyMap<string, readonly Row[]>,
  broken: (what: string) => void,
): void {
  judgeSaid(device, logs, broken);
  const { client } = device;
  if (client === undefined) return;
  for (const log of logs) {
    const member = log.members.get(device.userId);
    const info = client.conversation(log.id).info.get();
    if (member?.isMember !== true) {
      if (info.role !== undefined && info.onServer && log.kind === 'group')
        broken(`${device.name} believes to be in ${log.id}`);
      continue;
    }
    const where = `${device.name} in ${log.id}`;
    if (info.role === undefined) broken(`${where}: does not know that it is a member`);
    if (info.head !== log.head) broken(`${where}: head ${info.head}, is ${log.head}`);
    const unread = unreadOf(log, device.userId, member.readThrough);
    if (info.unread !== unread)
      broken(`${where}: ${info.unread} unread, must be ${unread} above ${member.readThrough}`);
    judgeRows({ where, log, userId: device.userId, broken }, shown.get(log.id) ?? []);
  }
}

/** What was in the durable outbox arrived, or was refused for a reason that stands. */
function judgeSaid(
  device: SdkDevice,
  logs: readonly TrueConversation[],
  broken: (what: string) => void,
): void {
  const there = new Set(logs.flatMap(({ rows }) => rows.map((row) => row.clientMessageId)));
  for (const said of device.said) {
    const { key, conversation, is, isKept, outcome, reason } = said;
    const log = logs.find(({ id }) => id === conversation);
    const isForNoReason = reason === 'COMMIT_UNKNOWN' && !hasLeft(log, device.userId);
    if (outcome === 'failed' && (!EXPECTED.has(reason) || isForNoReason))
      broken(`${device.name}: ${key} in ${conversation} failed with ${reason}`);
    if (is === 'message' && device.mustBe(said) && !there.has(key))
      broken(`${device.name}: ${key} in ${conversation} was kept, and is neither there nor failed`);
    // To delete what is deleted is accepted and makes no row.
    if (is !== 'delete' && isKept && outcome === 'accepted' && !there.has(key))
      broken(`${device.name}: ${key} in ${conversation} was accepted and is not there`);
  }
}

/** At some time he could not read what he may have said. */
function hasLeft(log: TrueConversation | undefined, userId: string): boolean {
  const member = log?.members.get(userId);
  return log?.kind === 'group' && (member?.isMember !== true || member.intervals.length > 1);
}

interface Place {
  readonly where: string;
  readonly log: TrueConversation;
  readonly userId: string;
  readonly broken: (what: string) => void;
}

function judgeRows({ where, log, userId, broken }: Place, rows: readonly Row[]): void {
  const truth = messagesOf(log);
  const found = new Set<number>();
  for (const row of rows) {
    if (row.is !== 'message') continue;
    if (row.sequence === undefined) {
      if (row.state?.get().is !== 'FAILED') broken(`${where}: ${row.key} is still on its way`);
      continue;
    }
    if (found.has(row.sequence)) broken(`${where}: shows ${row.sequence} twice`);
    found.add(row.sequence);
    const message = truth.get(row.sequence);
    const logged = log.rows[row.sequence - 1];
    if (message === undefined || logged?.clientMessageId !== row.key)
      broken(`${where}: shows ${row.key} at ${row.sequence}, where something else stands`);
    else if (row.deleted !== message.isDeleted)
      broken(`${where}/${row.sequence}: deleted is ${row.deleted}`);
    else if (!row.deleted && message.text !== '' && row.content?.text?.body !== message.text)
      broken(`${where}/${row.sequence}: shows "${row.content?.text?.body?.slice(0, 30)}"`);
  }
  for (const sequence of truth.keys())
    if (
      !found.has(sequence) &&
      mayHaveSeen(log, userId, sequence) &&
      isReadable(log, userId, sequence)
    )
      broken(`${where}: does not show ${sequence}`);
}

/** The present interval only: what was readable before a removal may be there or not. */
function isReadable(log: TrueConversation, userId: string, sequence: number): boolean {
  const last = log.members.get(userId)?.intervals.at(-1);
  return log.kind === 'direct' || log.isHistoryAll || (last !== undefined && sequence >= last.from);
}
