/**
 * The scroller (CLIENT §2): a `column-reverse` box with ONE child in reading order. Distance from
 * the end is what the browser keeps, so growth above the view moves nothing and the end holds by
 * itself. This module alone writes scrollTop: when rows below the view change, it puts the anchor
 * (a row's key and where its top stood) back where the reader left it.
 */

/** Arrivals are shown at once while the reader is this near to the end. */
export const FOLLOW_PX = 50;

export interface Anchor {
  readonly key: string;
  /** Top of the row below the top of the box, in px; negative when it is cut off. */
  readonly top: number;
}

export class Scroller {
  readonly #box: HTMLElement;
  readonly #moved: () => void;
  #anchor: Anchor | undefined;
  #written = Number.NaN;

  constructor(box: HTMLElement, moved: () => void) {
    this.#box = box;
    this.#moved = moved;
  }

  start(): void {
    this.#box.addEventListener('scroll', this.#scrolled, { passive: true });
  }

  stop(): void {
    this.#box.removeEventListener('scroll', this.#scrolled);
  }

  /** scrollTop is 0 at the end and negative above it. */
  get fromEnd(): number {
    return Math.max(0, -this.#box.scrollTop);
  }

  get fromStart(): number {
    return this.#box.scrollHeight - this.#box.clientHeight + this.#box.scrollTop;
  }

  get isFollowing(): boolean {
    return this.fromEnd < FOLLOW_PX;
  }

  toEnd(): void {
    this.#anchor = undefined;
    this.#write(0);
  }

  /** Puts a row at a fraction of the box's height: 0 top, 1 bottom. */
  toRow(key: string, fraction: number): boolean {
    const row = this.row(key);
    if (row === undefined) return false;
    const top = (this.#box.clientHeight - row.offsetHeight) * fraction;
    this.#shift(this.#topOf(row) - top);
    this.save();
    return true;
  }

  /** Shows a row wholly, moving no more than needed. */
  reveal(row: HTMLElement): void {
    const top = this.#topOf(row);
    const below = top + row.offsetHeight - this.#box.clientHeight;
    if (top < 0) this.#shift(top);
    else if (below > 0) this.#shift(Math.min(below, top));
    this.save();
  }

  /** Notes the first row in view; what `hold` keeps still. */
  save(): void {
    this.#anchor = this.#firstInView();
  }

  /** After any change of rows: the anchor stands where it stood. Nothing is written if it does. */
  hold(): void {
    if (this.#anchor === undefined) return;
    const row = this.row(this.#anchor.key);
    if (row === undefined) return this.save();
    const moved = this.#topOf(row) - this.#anchor.top;
    if (Math.abs(moved) >= 1) this.#shift(moved);
  }

  row(key: string): HTMLElement | undefined {
    return this.#box.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`) ?? undefined;
  }

  #shift(px: number): void {
    this.#write(this.#box.scrollTop + px);
  }

  #write(top: number): void {
    this.#box.scrollTop = top;
    this.#written = this.#box.scrollTop;
  }

  readonly #scrolled = (): void => {
    // Our own write comes back as an event; only the reader's moves set the anchor.
    const isOwn = this.#box.scrollTop === this.#written;
    this.#written = Number.NaN;
    if (!isOwn) this.save();
    this.#moved();
  };

  #firstInView(): Anchor | undefined {
    for (const row of this.#box.querySelectorAll<HTMLElement>('[data-key]')) {
      const top = this.#topOf(row);
      if (top + row.offsetHeight > 0) return { key: row.dataset['key'] ?? '', top };
    }
    return undefined;
  }

  #topOf(row: HTMLElement): number {
    return row.getBoundingClientRect().top - this.#box.getBoundingClientRect().top;
  }
}
