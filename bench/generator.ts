/** A generator process: takes one load, gets ready, runs it, says what it counted. */
import { focusFrame, In, listMessagesRequest } from './frames.ts';
import { Histogram } from './histogram.ts';
import { LoadClient } from './load-client.ts';
import {
  now,
  type Counted,
  type FromGenerator,
  type HistoryLoad,
  type IdleLoad,
  type SendLoad,
  type ToGenerator,
} from './load.ts';

const HEADER_BYTES = 48;
const CONNECTS_AT_ONCE = 64;
const LAST_ONES_MS = 5_000;
const RETRY_MS = 20;

interface Run {
  run(fromMs: number, untilMs: number): Promise<Counted>;
}

function say(message: FromGenerator): void {
  process.send?.(message);
}

class Counters {
  sends = 0;
  deliveries = 0;
  acknowledged = 0;
  delivered = 0;
  lost = 0;
  closed = 0;
  readonly refusals: Record<string, number> = {};
  readonly ack: Histogram = new Histogram();
  readonly endToEnd: Histogram = new Histogram();

  refused(reason: string): void {
    this.refusals[reason] = (this.refusals[reason] ?? 0) + 1;
  }

  counted(clients: readonly LoadClient[], cpuSeconds: number, endedMs: number): Counted {
    const sum = (of: (client: LoadClient) => number): number =>
      clients.reduce((total, client) => total + of(client), 0);
    return {
      sends: this.sends,
      deliveries: this.deliveries,
      acknowledged: this.acknowledged,
      delivered: this.delivered,
      duplicates: sum((client) => client.duplicates),
      disorder: sum((client) => client.disorder),
      skips: sum((client) => client.skips),
      lost: this.lost,
      closed: this.closed,
      refusals: this.refusals,
      ack: this.ack.counts,
      endToEnd: this.endToEnd.counts,
      cpuSeconds,
      endedMs,
    };
  }
}

function cpuNow(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function connectAll(
  clients: readonly LoadClient[],
  connect: (i: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < clients.length; i = next++) await connect(i);
  };
  await Promise.all(Array.from({ length: CONNECTS_AT_ONCE }, worker));
}

class SendRun implements Run {
  readonly #load: SendLoad;
  readonly #count = new Counters();
  readonly #clients: LoadClient[];
  readonly #filler: Buffer;
  /** Group load: deliveries still missing of each message under way. */
  readonly #awaited = new Map<string, { left: number; acked: boolean; next: () => void }>();
  #fromMs = Infinity;
  #untilMs = Infinity;
  #serial = 0;

  constructor(load: SendLoad) {
    this.#load = load;
    this.#filler = Buffer.alloc(load.bodyBytes, 'abcdefghijklmnopqrstuvwxyz0123456789 ');
    this.#clients = load.users.map(
      () =>
        new LoadClient({
          row: (_conversation, _sequence, { bytes, start, end }) =>
            this.#arrived(bytes, start, end),
          closed: () => this.#count.closed++,
        }),
    );
  }

  async prepare(): Promise<void> {
    const { webSocketUrl, users, marks, focus } = this.#load;
    await connectAll(this.#clients, async (i) => {
      await this.#clients[i]?.connect(webSocketUrl, users[i]?.accessToken ?? '', { marks });
      if (focus.length > 0) this.#clients[i]?.raw(focusFrame(focus));
    });
  }

  async run(fromMs: number, untilMs: number): Promise<Counted> {
    this.#fromMs = fromMs;
    this.#untilMs = untilMs;
    let cpu = 0;
    setTimeout(() => (cpu = -cpuNow()), fromMs - now());
    const senders = this.#load.window > 0 ? this.#closedLoop() : this.#openLoop();
    await senders;
    const endedMs = Math.min(now(), untilMs);
    cpu += cpuNow();
    await this.#lastOnes();
    for (const client of this.#clients) client.close();
    return this.#count.counted(this.#clients, cpu, endedMs);
  }

  /** Waits until everything acknowledged was delivered, or nothing moves any more. */
  async #lastOnes(): Promise<void> {
    const deadline = now() + LAST_ONES_MS;
    const wanted = (): number =>
      this.#count.acknowledged * Math.max(this.#load.deliveriesPerSend, 1);
    while (now() < deadline && this.#count.delivered < wanted())
      await new Promise((done) => setTimeout(done, 50));
    this.#count.lost = Math.max(0, wanted() - this.#count.delivered);
  }

  async #closedLoop(): Promise<void> {
    const { senders, window } = this.#load;
    await Promise.all(
      senders.flatMap((sender) => {
        let turn = 0;
        let left = this.#load.sendsMax === 0 ? Infinity : this.#load.sendsMax;
        const step = (done: () => void): void => {
          if (now() >= this.#untilMs || left-- <= 0) return done();
          const target = sender.targets[turn++ % sender.targets.length] ?? '';
          this.#send(sender.user, target, now(), (outcome) => {
            if (outcome === 'commit') step(done);
            else if (outcome === 'closed') done();
            else setTimeout(() => step(done), RETRY_MS);
          });
        };
        return Array.from({ length: window }, () => new Promise<void>((done) => step(done)));
      }),
    );
  }

  /** Latencies count from the scheduled moment, so that a stall cannot hide. */
  async #openLoop(): Promise<void> {
    const { senders, ratePerSecond } = this.#load;
    const began = now();
    let n = 0;
    while (now() < this.#untilMs) {
      for (
        let due = began + (n * 1000) / ratePerSecond;
        due <= now();
        due = began + (++n * 1000) / ratePerSecond
      ) {
        const sender = senders[n % senders.length];
        const target =
          sender?.targets[Math.floor(n / senders.length) % sender.targets.length] ?? '';
        this.#send(sender?.user ?? 0, target, due, () => undefined);
      }
      await new Promise((done) => setTimeout(done, 1));
    }
  }

  #send(
    user: number,
    target: string,
    dueMs: number,
    next: (outcome: 'commit' | 'error' | 'closed') => void,
  ): void {
    const serial = this.#serial++;
    const key = `${process.pid.toString(36)}.${serial.toString(36)}`;
    const text = Buffer.from(this.#filler);
    text.write(`~P${key.padEnd(20)}${dueMs.toFixed(3).padStart(20)}~`, 'latin1');
    const group = this.#load.deliveriesPerSend > 1;
    const awaited = {
      left: this.#load.deliveriesPerSend,
      acked: false,
      next: () => next('commit'),
    };
    if (group) this.#awaited.set(key, awaited);
    this.#clients[user]?.send(target, text, (outcome, reason) => {
      if (outcome !== 'commit') {
        this.#awaited.delete(key);
        this.#count.refused(reason);
        return next(outcome);
      }
      const at = now();
      this.#count.acknowledged++;
      if (at >= this.#fromMs && at < this.#untilMs) {
        this.#count.sends++;
        this.#count.ack.add((at - dueMs) * 1000);
      }
      awaited.acked = true;
      if (!group) next('commit');
      else this.#settle(key, awaited);
    });
  }

  #settle(key: string, awaited: { left: number; acked: boolean; next: () => void }): void {
    if (!awaited.acked || awaited.left > 0) return;
    this.#awaited.delete(key);
    awaited.next();
  }

  #arrived(bytes: Buffer, start: number, end: number): void {
    const at = bytes.indexOf('~P', start, 'latin1');
    if (at < 0 || at + HEADER_BYTES > end) return;
    const time = now();
    this.#count.delivered++;
    if (time >= this.#fromMs && time < this.#untilMs) {
      this.#count.deliveries++;
      this.#count.endToEnd.add((time - Number(bytes.toString('latin1', at + 22, at + 42))) * 1000);
    }
    if (this.#awaited.size === 0) return;
    const key = bytes.toString('latin1', at + 2, at + 22).trimEnd();
    const awaited = this.#awaited.get(key);
    if (awaited === undefined) return;
    awaited.left--;
    this.#settle(key, awaited);
  }
}

class IdleRun implements Run {
  readonly #load: IdleLoad;
  readonly #clients: LoadClient[];
  readonly #count = new Counters();

  constructor(load: IdleLoad) {
    this.#load = load;
    this.#clients = load.users.map(
      () => new LoadClient({ row: () => undefined, closed: () => this.#count.closed++ }),
    );
  }

  async prepare(): Promise<void> {
    const { users, webSocketUrl } = this.#load;
    await connectAll(this.#clients, async (i) =>
      this.#clients[i]?.connect(webSocketUrl, users[i]?.accessToken ?? '', { marks: false }),
    );
  }

  async run(_fromMs: number, untilMs: number): Promise<Counted> {
    await new Promise((done) => setTimeout(done, untilMs - now()));
    const counted = this.#count.counted(this.#clients, 0, untilMs);
    for (const client of this.#clients) client.close();
    return counted;
  }
}

class HistoryRun implements Run {
  readonly #load: HistoryLoad;
  readonly #clients: LoadClient[];
  readonly #count = new Counters();

  constructor(load: HistoryLoad) {
    this.#load = load;
    this.#clients = load.readers.map(
      () => new LoadClient({ row: () => undefined, closed: () => this.#count.closed++ }),
    );
  }

  async prepare(): Promise<void> {
    const { readers, webSocketUrl } = this.#load;
    await connectAll(this.#clients, async (i) =>
      this.#clients[i]?.connect(webSocketUrl, readers[i]?.accessToken ?? '', { marks: false }),
    );
  }

  async run(fromMs: number, untilMs: number): Promise<Counted> {
    const began = cpuNow();
    await Promise.all(this.#clients.map((_, reader) => this.#read(reader, fromMs, untilMs)));
    const cpu = cpuNow() - began;
    for (const client of this.#clients) client.close();
    return this.#count.counted(this.#clients, cpu, untilMs);
  }

  /** Paced, latencies count from the scheduled moment, so that a stall cannot hide. */
  async #read(reader: number, fromMs: number, untilMs: number): Promise<void> {
    const { conversations, pageSize, pagesPerSecond, readers } = this.#load;
    const mine = conversations[reader] ?? [];
    const began = now();
    for (let turn = 0; now() < untilMs; turn++) {
      const dueMs =
        pagesPerSecond === 0
          ? now()
          : began + ((turn * readers.length + reader) * 1000) / pagesPerSecond;
      while (now() < dueMs) await new Promise((done) => setTimeout(done, dueMs - now()));
      const request = listMessagesRequest(mine[turn % mine.length] ?? '', pageSize);
      const messages = await this.#clients[reader]?.call('Messages.List', request, messagesIn);
      if (messages === undefined) return;
      const at = now();
      if (messages !== pageSize) this.#count.lost++;
      if (at < fromMs || at >= untilMs) continue;
      this.#count.sends++;
      this.#count.deliveries += messages;
      this.#count.ack.add((at - dueMs) * 1000);
    }
  }
}

/** `result{response}` holds a ListMessagesResponse: its field 1 is a message each. */
function messagesIn(bytes: Buffer, start: number, end: number): number {
  let messages = 0;
  const result = new In(bytes, start, end);
  while (result.next()) {
    const response = result.inside();
    while (response.next()) if (response.field === 1) messages++;
  }
  return messages;
}

function runOf(load: SendLoad | IdleLoad | HistoryLoad): SendRun | IdleRun | HistoryRun {
  switch (load.is) {
    case 'send':
      return new SendRun(load);
    case 'idle':
      return new IdleRun(load);
    case 'history':
      return new HistoryRun(load);
  }
}

/** Entry of the forked process. */
export function generate(): void {
  let run: SendRun | IdleRun | HistoryRun | undefined;
  const failed = (error: unknown): void => say({ is: 'failed', why: String(error) });
  process.on('message', (message: ToGenerator) => {
    if (message.is === 'load') {
      run = runOf(message.load);
      run.prepare().then(() => say({ is: 'ready' }), failed);
    } else
      run
        ?.run(message.fromMs, message.untilMs)
        .then((counted) => say({ is: 'done', ...counted }), failed);
  });
}

if (process.argv[2] === 'generate') generate();
