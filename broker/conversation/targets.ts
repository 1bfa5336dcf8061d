/**
 * Earlier rows that control rows aim at, while somebody may need them: loaded for a command that is
 * on its way, appended while such a command waits for a number of its own outbox, or changed and not
 * yet durable. What lies here is newer than what a load can bring, so it wins.
 */
import { invariant } from '../../core/invariant.ts';
import type { TargetRow } from './contract.ts';

/** Clean targets that nobody waits for are kept up to this, then dropped oldest first. */
export const IDLE_TARGETS_MAX = 4096;

interface Target {
  readonly row: Uint8Array;
  overlay: Uint8Array;
  isChanged: boolean;
  isTaken: boolean;
}

interface Targeted {
  readonly rows: Map<number, Target>;
  /** Control rows on their way in this conversation. */
  pins: number;
}

export class Targets {
  readonly #conversations: Map<number, Targeted> = new Map();
  #count = 0;
  #changed: [resident: number, target: Target][] = [];
  #taken: [resident: number, target: Target][] = [];

  has(resident: number, sequence: number): boolean {
    return this.get(resident, sequence) !== undefined;
  }

  get(resident: number, sequence: number): Readonly<Target> | undefined {
    return this.#conversations.get(resident)?.rows.get(sequence);
  }

  load(resident: number, target: TargetRow): void {
    if (this.has(resident, target.sequence)) return;
    this.#add(resident, target.sequence, target.row, target.overlay);
  }

  /** Keeps a row just appended if a control row on its way may aim at it. */
  retain(resident: number, sequence: number, row: Uint8Array): void {
    if (this.#conversations.size === 0) return;
    const targeted = this.#conversations.get(resident);
    if (targeted === undefined || targeted.pins === 0) return;
    this.#add(resident, sequence, row.slice(), new Uint8Array(0));
  }

  setOverlay(resident: number, sequence: number, overlay: Uint8Array): void {
    const target = this.#conversations.get(resident)?.rows.get(sequence);
    invariant(target !== undefined, 'targets.resident', { sequence });
    target.overlay = overlay;
    if (target.isChanged) return;
    target.isChanged = true;
    this.#changed.push([resident, target]);
  }

  pin(resident: number): void {
    this.#of(resident).pins += 1;
  }

  unpin(resident: number): void {
    const targeted = this.#conversations.get(resident);
    if (targeted === undefined || targeted.pins === 0) return;
    targeted.pins -= 1;
    if (targeted.rows.size === 0 && targeted.pins === 0) this.#conversations.delete(resident);
    else if (this.#count > IDLE_TARGETS_MAX) this.#dropIdle();
  }

  /** Whether nothing of the conversation is waited for or not yet durable. */
  isEvictable(resident: number): boolean {
    const targeted = this.#conversations.get(resident);
    if (targeted === undefined) return true;
    if (targeted.pins > 0) return false;
    for (const target of targeted.rows.values())
      if (target.isChanged || target.isTaken) return false;
    return true;
  }

  forget(resident: number): void {
    this.#count -= this.#conversations.get(resident)?.rows.size ?? 0;
    this.#conversations.delete(resident);
  }

  /** Changed overlays went out with the effects of their entries: the flush now being built holds them. */
  takeChanged(): void {
    for (const entry of this.#changed) {
      const target = entry[1];
      target.isChanged = false;
      if (!target.isTaken) this.#taken.push(entry);
      target.isTaken = true;
    }
    this.#changed = [];
  }

  flushed(): void {
    for (const [, target] of this.#taken) target.isTaken = false;
    this.#taken = [];
    if (this.#count > IDLE_TARGETS_MAX) this.#dropIdle();
  }

  #add(resident: number, sequence: number, row: Uint8Array, overlay: Uint8Array): void {
    this.#of(resident).rows.set(sequence, { row, overlay, isChanged: false, isTaken: false });
    this.#count += 1;
  }

  #of(resident: number): Targeted {
    let targeted = this.#conversations.get(resident);
    if (targeted === undefined) {
      targeted = { rows: new Map(), pins: 0 };
      this.#conversations.set(resident, targeted);
    }
    return targeted;
  }

  /** Down to half, so that it happens rarely. */
  #dropIdle(): void {
    for (const [resident, targeted] of this.#conversations) {
      if (this.#count <= IDLE_TARGETS_MAX / 2) return;
      if (!this.isEvictable(resident)) continue;
      this.#count -= targeted.rows.size;
      this.#conversations.delete(resident);
    }
  }
}
