/**
 * What screen readers are told of by themselves: one polite region, apart from the timeline, so
 * that paging says nothing. At most one announcement per 1.5 s; what arrives meanwhile is told as
 * one (CLIENT §2).
 */

const EVERY_MS = 1_500;

export class Announcer {
  readonly #say: (text: string) => void;
  #waiting: { count: number; last: string } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  arrived(text: string): void {
    this.#waiting = { count: (this.#waiting?.count ?? 0) + 1, last: text };
    if (this.#timer !== undefined) return;
    this.#flush();
    this.#timer = setTimeout(this.#tick, EVERY_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = undefined;
  }

  readonly #tick = (): void => {
    this.#timer = undefined;
    if (this.#waiting === undefined) return;
    this.#flush();
    this.#timer = setTimeout(this.#tick, EVERY_MS);
  };

  #flush(): void {
    if (this.#waiting === undefined) return;
    const { count, last } = this.#waiting;
    this.#waiting = undefined;
    this.#say(count === 1 ? last : `${count} new messages. Last: ${last}`);
  }
}
