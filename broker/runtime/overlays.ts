/**
 * What control rows changed in earlier rows and no flush has made durable yet: the newest overlay
 * of each changed row. Stored ones lie one value per changed row (docs/decisions/0001): the sequence
 * of the change in front, then the overlay as the conversation machine encoded it.
 */
import { ByteReader, ByteWriter } from '../../core/bytes.ts';
import { IdMap } from '../../core/id-map.ts';
import type { StateEntry } from '../../storage-engine/contract.ts';
import {
  overlayKey,
  overlayRange,
  readBlockKey,
  type KeyRange,
} from '../../storage-engine/keys.ts';

export interface StoredOverlay {
  /** Sequence of the control row that changed it last. */
  readonly changeSequence: number;
  readonly value: Uint8Array;
}

export interface PendingOverlay extends StoredOverlay {
  readonly conversation: Uint8Array;
  readonly target: number;
  /** The stored row's body must go, and these rows' bodies with it (its edits). */
  readonly erased: boolean;
}

// Overlays of a conversation lie together whatever the bucket of their rows: readers ask by
// sequence. LIMIT: a retention that drops buckets must clear the range of sequences here as well.
const ANY_BUCKET = 0;

export function storedOverlayKey(conversation: Uint8Array, target: number): Uint8Array {
  return overlayKey(ANY_BUCKET, conversation, target);
}

/** Overlays of rows in [from, through]. */
export function storedOverlayRange(
  conversation: Uint8Array,
  from: number,
  through: number,
): KeyRange {
  return overlayRange(ANY_BUCKET, conversation, from, through + 1);
}

export function encodeStoredOverlay(overlay: StoredOverlay): Uint8Array {
  const out = new ByteWriter(8 + overlay.value.length);
  return out.u53(overlay.changeSequence).raw(overlay.value).finish();
}

export function decodeStoredOverlay(bytes: Uint8Array): StoredOverlay {
  const input = new ByteReader(bytes);
  return { changeSequence: input.u53(), value: input.rest() };
}

export function readOverlayEntry(entry: StateEntry): StoredOverlay & { readonly target: number } {
  return { target: readBlockKey(entry.key).first, ...decodeStoredOverlay(entry.value) };
}

/** Of one shard. */
export class Overlays {
  #fresh = new IdMap<Map<number, PendingOverlay>>();
  #flushing = new IdMap<Map<number, PendingOverlay>>();
  #freshCount = 0;

  get count(): number {
    return this.#freshCount;
  }

  set(overlay: PendingOverlay): void {
    let byTarget = this.#fresh.get(overlay.conversation);
    if (byTarget === undefined) {
      byTarget = new Map();
      this.#fresh.set(overlay.conversation, byTarget);
    }
    const before = byTarget.get(overlay.target);
    // An erasure that no flush has seen stays one, whatever changes the tombstone afterwards.
    const erased = overlay.erased || before?.erased === true;
    byTarget.set(overlay.target, { ...overlay, erased });
    this.#freshCount++;
  }

  get(conversation: Uint8Array, target: number): PendingOverlay | undefined {
    return (
      this.#fresh.get(conversation)?.get(target) ?? this.#flushing.get(conversation)?.get(target)
    );
  }

  /** All of a conversation that the store may not hold yet, newest state of each. */
  *of(conversation: Uint8Array): Generator<PendingOverlay, void, undefined> {
    const fresh = this.#fresh.get(conversation);
    if (fresh !== undefined) yield* fresh.values();
    for (const overlay of this.#flushing.get(conversation)?.values() ?? [])
      if (fresh?.has(overlay.target) !== true) yield overlay;
  }

  /** Hands out what the next flush writes; it goes on being served until `flushed`. */
  cut(): PendingOverlay[] {
    this.#flushing = this.#fresh;
    this.#fresh = new IdMap();
    this.#freshCount = 0;
    return [...this.#flushing.values()].flatMap((byTarget) => [...byTarget.values()]);
  }

  flushed(): void {
    this.#flushing = new IdMap();
  }
}
