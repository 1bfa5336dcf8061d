/** Numbered entries as frames; each is answered once, or with nothing when the connection ended. */
import type { Connection } from './connection.ts';
import type { ClientFrame, ServerFrame } from './contract.ts';
import type { OutboxEntry } from './outbox-entry.ts';

export function transmit(
  connection: Connection,
  entries: readonly OutboxEntry[],
  answered: (entry: OutboxEntry, frame: ServerFrame | undefined) => void,
): void {
  const frames: ClientFrame[] = [];
  const sent: OutboxEntry[] = [];
  for (const entry of entries) {
    const { number, body } = entry;
    if (number === undefined || body === undefined) continue;
    const { outboxId, clientSeq, after } = number;
    const first = after === 0 ? {} : { after };
    const send = { to: entry.to, outboxId, clientSeq, ...first, clientMessageId: entry.key, body };
    frames.push({ send });
    sent.push(entry);
  }
  connection.request(frames, (i, answer) => {
    const entry = sent[i];
    if (entry !== undefined) answered(entry, 'frame' in answer ? answer.frame : undefined);
  });
}
