/** For tests: a client of the live protocol over a real WebSocket, in either subprotocol. */
import { randomUUID } from 'node:crypto';
import { WebSocket, type RawData } from 'ws';
import { codecOf, type Plain, type Sparse } from '../../proto/codec.ts';
import {
  ClientFrameSchema,
  ServerFrameSchema,
  type ClientFrame,
  type ServerFrame,
} from '../../proto/gen/parley/client/v1/session_pb.ts';
import { methodNamed } from '../methods.ts';
import { delimited, type Format } from '../wire.ts';

const up = codecOf(ClientFrameSchema);
const down = codecOf(ServerFrameSchema);

export type Down = Plain<ServerFrame>;
export type Up = Exclude<Sparse<ClientFrame>, Uint8Array>;

export interface Ended {
  readonly code: number;
  readonly reason: string;
}

interface Wait {
  readonly wanted: (frame: Down) => boolean;
  readonly found: (frame: Down) => void;
}

export interface TestClientOptions {
  readonly url: string;
  readonly format: Format;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly protocols?: readonly string[];
}

export class TestClient {
  readonly frames: Down[] = [];
  readonly messageSizes: number[] = [];
  readonly socket: WebSocket;
  readonly ended: Promise<Ended>;
  readonly outboxId: string = randomUUID();
  readonly #format: Format;
  readonly #waits: Wait[] = [];
  #lastId = 0;
  #clientSeq = 0;

  constructor(options: TestClientOptions) {
    this.#format = options.format;
    const protocols = options.protocols ?? [`parley.v1.${options.format}`];
    this.socket = new WebSocket(options.url, [...protocols], { headers: { ...options.headers } });
    this.socket.on('message', (data: RawData, isBinary: boolean) =>
      this.#received(data as Buffer, isBinary),
    );
    this.ended = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
      this.socket.on('error', () => undefined);
    });
  }

  async opened(): Promise<this> {
    if (this.socket.readyState === WebSocket.OPEN) return this;
    await new Promise<void>((resolve) => {
      this.socket.once('open', () => resolve());
      this.socket.once('close', () => resolve());
    });
    return this;
  }

  /** Connects, says hello and waits until caught up. */
  async hello(token: string, hello: Record<string, unknown> = {}): Promise<Down> {
    await this.opened();
    const ready = await this.ask({ hello: { token, ...hello } });
    if (ready.ready !== undefined) await this.until((frame) => frame.caughtUp !== undefined);
    return ready;
  }

  /** Sends a frame with an id of its own and waits for its one reply. */
  ask(frame: Up): Promise<Down> {
    const id = ++this.#lastId;
    const reply = this.until((answer) => answer.id === id);
    this.tell({ ...frame, id });
    return reply;
  }

  /** A text message through the outbox, pipelined behind the one before. */
  say(to: string, body: string): Promise<Down> {
    const after = this.#clientSeq;
    const clientSeq = ++this.#clientSeq;
    return this.ask({
      send: {
        to,
        outboxId: this.outboxId,
        clientSeq,
        after,
        clientMessageId: randomUUID(),
        body: { message: { text: { body } } },
      },
    });
  }

  call(method: string, request: object): Promise<Down> {
    if (this.#format === 'json')
      return this.ask({ call: { method, request: request as Uint8Array } });
    const bytes = methodNamed(method as 'Messages.List').input.encode(request as Uint8Array);
    return this.ask({ call: { method, request: bytes } });
  }

  tell(frame: Up): void {
    if (this.#format === 'proto') this.raw(delimited(up.encode(frame)));
    else this.raw(JSON.stringify(up.toJson(frame)));
  }

  raw(data: Buffer | string): void {
    this.socket.send(data);
  }

  /** The first frame, past or to come, that is wanted. */
  until(wanted: (frame: Down) => boolean): Promise<Down> {
    const known = this.frames.find(wanted);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((found) => this.#waits.push({ wanted, found }));
  }

  /** All rows of a conversation that were pushed, in the order in which they came. */
  rows(conversationId: string): readonly { sequence: number; body: string | undefined }[] {
    return this.frames.flatMap((frame) =>
      (frame.rows?.items ?? [])
        .filter((item) => item.conversationId === conversationId)
        .flatMap((item) =>
          item.rows.map((row) => ({
            sequence: row.sequence,
            body: row.body?.message?.text?.body,
          })),
        ),
    );
  }

  /** Waits until a row with this sequence was pushed. */
  row(conversationId: string, sequence: number): Promise<Down> {
    return this.until(
      (frame) =>
        frame.rows?.items.some(
          (item) =>
            item.conversationId === conversationId &&
            item.rows.some((row) => row.sequence === sequence),
        ) ?? false,
    );
  }

  close(): void {
    this.socket.terminate();
  }

  #received(data: Buffer, isBinary: boolean): void {
    this.messageSizes.push(data.length);
    for (const frame of isBinary ? protoFrames(data) : jsonFrames(data)) {
      this.frames.push(frame);
      if (frame.ping !== undefined) this.tell({ pong: {} });
      for (const wait of this.#waits.slice()) {
        if (!wait.wanted(frame)) continue;
        this.#waits.splice(this.#waits.indexOf(wait), 1);
        wait.found(frame);
      }
    }
  }
}

function jsonFrames(data: Buffer): Down[] {
  const value: unknown = JSON.parse(data.toString());
  return (Array.isArray(value) ? value : [value]).map((frame) => jsonFrame(frame as object));
}

/** An answer to a call is the response itself (CONTRACT §3); here it stands where its bytes would. */
function jsonFrame(frame: object): Down {
  if (!('result' in frame)) return down.fromJson(frame);
  const { result, ...rest } = frame;
  return { ...down.fromJson(rest), result: { response: result } } as unknown as Down;
}

function protoFrames(data: Buffer): Down[] {
  const frames: Down[] = [];
  for (let at = 0; at < data.length; ) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = data[at++] ?? 0;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    frames.push(down.decode(data.subarray(at, at + length)));
    at += length;
  }
  return frames;
}
