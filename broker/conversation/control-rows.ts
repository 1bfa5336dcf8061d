/**
 * Edits and deletes: rows of their own that change an earlier one, through its overlay. A delete
 * erases content and edits; the tombstone, its fixed part and its hash stay.
 */
import { SEND_AT, SEND_FLAG } from '../../core/command.ts';
import { ROLE } from '../../core/facts.ts';
import { invariant } from '../../core/invariant.ts';
import { BODY_KIND, RowView } from '../../core/row.ts';
import { committed, refusal, refused, type Applying, type Refusal } from './applying.ts';
import type { Applied } from './contract.ts';
import { decodeOverlay, encodeOverlay, withDelete, withEdit, type Overlay } from './overlay.ts';
import { sameIdAt } from './packed.ts';
import { accept, appendSent, type Sending } from './sent-row.ts';
import { sequenceOfNumber } from './send-window.ts';

interface Target {
  readonly sequence: number;
  readonly row: RowView;
  readonly overlay: Overlay;
  readonly isOwn: boolean;
}

export function applyEdit(applying: Applying, sending: Sending): Applied {
  const target = resolve(applying, sending);
  if ('is' in target) return refused(applying, target);
  const forbidden = forbidsEdit(applying, target);
  if (forbidden !== undefined) return refused(applying, forbidden);
  const { row, sequence } = appendSent(applying, sending, target.sequence);
  const edit = { sequence, timeMs: applying.nowMs, body: sending.send.body };
  const value = encodeOverlay(withEdit(target.overlay, edit));
  settle(applying, sending, target, { sequence, value });
  return {
    conversation: applying.conversation,
    answer: committed(applying, sequence),
    row,
    overlay: { sequence: target.sequence, value, erased: false },
  };
}

export function applyDelete(applying: Applying, sending: Sending): Applied {
  const target = resolve(applying, sending);
  if ('is' in target) return refused(applying, target);
  const { member } = applying.live;
  if (!target.isOwn && member.role !== ROLE.owner && member.role !== ROLE.admin)
    return refused(applying, refusal('ROLE_REQUIRED', 'only its sender or an admin may delete it'));
  if (target.overlay.deleted) return answerOldDelete(applying, sending, target);
  const { row, sequence } = appendSent(applying, sending, target.sequence);
  const value = encodeOverlay(withDelete(target.overlay, sequence, applying.nowMs));
  settle(applying, sending, target, { sequence, value });
  return {
    conversation: applying.conversation,
    answer: committed(applying, sequence),
    row,
    overlay: {
      sequence: target.sequence,
      value,
      erased: true,
      editSequences: target.overlay.editSequences,
    },
  };
}

function settle(
  applying: Applying,
  sending: Sending,
  target: Target,
  change: { readonly sequence: number; readonly value: Uint8Array },
): void {
  const { live, targets, nowMs } = applying;
  targets.setOverlay(live.resident, target.sequence, change.value);
  if (target.overlay.changeSequence === 0) live.header.overlayCount += 1;
  accept(applying, sending, { sequence: change.sequence, timeMs: nowMs });
}

/** A delete again is a success that appends nothing; its number counts as accepted. */
function answerOldDelete(applying: Applying, sending: Sending, target: Target): Applied {
  const { changeSequence, changeTimeMs } = target.overlay;
  accept(applying, sending, { sequence: changeSequence, timeMs: changeTimeMs });
  return {
    conversation: applying.conversation,
    answer: { is: 'commit', sequence: changeSequence, timeMs: changeTimeMs, replayed: false },
  };
}

/** The message aimed at, if the caller can see one there. */
function resolve(applying: Applying, sending: Sending): Target | Refusal {
  const { live, targets } = applying;
  const { send } = sending;
  const unknown = refusal('MESSAGE_UNKNOWN', 'there is no such message');
  let sequence = send.target;
  if (send.has(SEND_FLAG.targetIsClientSeq))
    sequence =
      sending.hasOutbox && live.sender.ref !== 0
        ? sequenceOfNumber(live.sender, sending.question, send.target)
        : 0;
  if (sequence < 1 || sequence > live.header.head || sequence < live.member.historyFrom)
    return unknown;
  const target = targets.get(live.resident, sequence);
  // Needs.target was met before the command was proposed, or the row was appended while it waited.
  invariant(target !== undefined, 'control-rows.target-resident', { sequence });
  const row = new RowView(target.row);
  invariant(row.sequence === sequence, 'control-rows.target-is-the-row', { sequence });
  if (row.bodyKind !== BODY_KIND.message && row.bodyKind !== BODY_KIND.sealed) return unknown;
  const isOwn = sameIdAt(row.bytes, 56, send.bytes, SEND_AT.caller);
  return { sequence, row, overlay: decodeOverlay(target.overlay), isOwn };
}

function forbidsEdit(applying: Applying, target: Target): Refusal | undefined {
  const { editWindowMs, editsMax } = applying.settings;
  if (!target.isOwn) return refusal('ROLE_REQUIRED', 'only its sender may edit a message');
  if (target.overlay.deleted) return refusal('TARGET_DELETED', 'the message was deleted');
  if (applying.nowMs - target.row.timeMs > editWindowMs)
    return refusal('EDIT_WINDOW_PASSED', 'the message is too old to be edited', { editWindowMs });
  if (target.overlay.editCount >= editsMax)
    return refusal('EDIT_WINDOW_PASSED', 'the message was edited too often', { editsMax });
  return undefined;
}
