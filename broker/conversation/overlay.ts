/**
 * What control rows changed in an earlier row. Disk format, version 1; golden bytes guard it.
 *
 *  0 u8 version   1 u8 flags (1 deleted)   2 u16 edits   4 u53 change sequence   12 u53 its stamp
 * 20 u53 stamp of the last edit   28 u32 edit rows n, n × u53 sequence   u32 length, edited body
 *    then the rest: parts of later versions (reactions), kept as they are by who does not know them
 */
import { ByteReader, ByteWriter, EMPTY, readU53, viewOf } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';

export const OVERLAY_VERSION = 1;
const DELETED = 1;

export interface Overlay {
  readonly deleted: boolean;
  readonly editCount: number;
  /** 0 = never edited. */
  readonly editTimeMs: number;
  /** Sequence of the last row that changed it. */
  readonly changeSequence: number;
  readonly changeTimeMs: number;
  /** The edit rows, oldest first: a delete erases their bodies too. */
  readonly editSequences: readonly number[];
  /** Body of the last edit row (a whole `Content` with `edit`), empty if never edited or deleted. */
  readonly body: Uint8Array;
  readonly rest: Uint8Array;
}

/** Of a row that nothing changed. */
export const NO_OVERLAY: Overlay = {
  deleted: false,
  editCount: 0,
  editTimeMs: 0,
  changeSequence: 0,
  changeTimeMs: 0,
  editSequences: [],
  body: EMPTY,
  rest: EMPTY,
};

export function encodeOverlay(overlay: Overlay): Uint8Array {
  const out = new ByteWriter(64 + overlay.body.length);
  out
    .u8(OVERLAY_VERSION)
    .u8(overlay.deleted ? DELETED : 0)
    .u16(overlay.editCount);
  out.u53(overlay.changeSequence).u53(overlay.changeTimeMs).u53(overlay.editTimeMs);
  out.u32(overlay.editSequences.length);
  for (const sequence of overlay.editSequences) out.u53(sequence);
  return out.bytes(overlay.body).raw(overlay.rest).finish();
}

/** Bytes inside are views of the input. Empty input = nothing changed it. */
export function decodeOverlay(value: Uint8Array): Overlay {
  if (value.length === 0) return NO_OVERLAY;
  const input = new ByteReader(value);
  const version = input.u8();
  invariant(version === OVERLAY_VERSION, 'overlay.version-known', { version });
  const flags = input.u8();
  const editCount = input.u16();
  const changeSequence = input.u53();
  const changeTimeMs = input.u53();
  const editTimeMs = input.u53();
  const editSequences = Array.from({ length: input.u32() }, () => input.u53());
  return {
    deleted: (flags & DELETED) !== 0,
    editCount,
    editTimeMs,
    changeSequence,
    changeTimeMs,
    editSequences,
    body: input.bytes(),
    rest: input.rest(),
  };
}

/** Sequence of the last row that changed a row; its own if none did. */
export function changeSequenceOf(sequence: number, overlay: Uint8Array): number {
  return overlay.length === 0 ? sequence : readU53(viewOf(overlay), 4);
}

/** Whether the row was deleted, without decoding the rest. */
export function isDeleted(overlay: Uint8Array): boolean {
  return overlay.length > 0 && ((overlay[1] ?? 0) & DELETED) !== 0;
}

export function withEdit(
  overlay: Overlay,
  edit: { readonly sequence: number; readonly timeMs: number; readonly body: Uint8Array },
): Overlay {
  invariant(!overlay.deleted, 'overlay.edits-what-stands', { sequence: edit.sequence });
  return {
    ...overlay,
    editCount: overlay.editCount + 1,
    editTimeMs: edit.timeMs,
    changeSequence: edit.sequence,
    changeTimeMs: edit.timeMs,
    editSequences: [...overlay.editSequences, edit.sequence],
    body: edit.body,
  };
}

/** Content and edits are gone; that it was edited, and by which rows, stays. */
export function withDelete(overlay: Overlay, sequence: number, timeMs: number): Overlay {
  return {
    ...overlay,
    deleted: true,
    changeSequence: sequence,
    changeTimeMs: timeMs,
    body: EMPTY,
    rest: EMPTY,
  };
}
