/** `parley.v1.json` over WebSocket: each message a frame or an array of frames. */
import type { ClientFrame, ServerFrame } from '../contract.ts';
import type { Transport, TransportConnection, TransportEvents } from '../transport.ts';

/** The part of WebSocket that is used; browsers', Node's and `ws`'s all fit. */
export interface SocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export type SocketConstructor = new (url: string, protocols: string[]) => SocketLike;

const SUBPROTOCOL = 'parley.v1.json';
/** A message holds at most 256 KiB; a character takes up to 3 bytes. */
const BATCH_CHARS_MAX = 80_000;

/** `socket`: default is the platform's WebSocket; Node < 22 passes that of `ws` (see node.ts). */
export function webSocketTransport(socket?: SocketConstructor): Transport {
  return {
    name: 'websocket',
    open(url, events) {
      const make = socket ?? (globalThis as { WebSocket?: SocketConstructor }).WebSocket;
      if (make === undefined) return failed(events, 'no WebSocket on this platform');
      try {
        return new WebSocketConnection(new make(liveUrl(url), [SUBPROTOCOL]), events);
      } catch (error) {
        return failed(events, String(error));
      }
    },
  };
}

/** `https://host` → `wss://host/v1/ws`; a ws: URL is taken as it is. */
function liveUrl(url: string): string {
  if (/^wss?:/.test(url)) return url;
  return `${url.replace(/^http/, 'ws').replace(/\/$/, '')}/v1/ws`;
}

class WebSocketConnection implements TransportConnection {
  readonly #socket: SocketLike;
  #isOpen = false;
  #isDone = false;

  constructor(socket: SocketLike, events: TransportEvents) {
    this.#socket = socket;
    socket.onopen = () => {
      if (this.#isDone) return;
      this.#isOpen = true;
      events.opened();
    };
    socket.onmessage = (event: { data: unknown }) => {
      if (this.#isDone) return;
      const frames = framesOf(event.data);
      if (frames !== undefined) events.frames(frames);
      else this.#end(events, 1007, 'not a frame');
    };
    socket.onclose = (event: { code?: number; reason?: string }) => {
      if (this.#isDone) return;
      this.#isDone = true;
      events.closed(event.code ?? 1006, event.reason ?? '');
    };
    // A close event follows and says what there is to say.
    socket.onerror = () => undefined;
  }

  send(frames: readonly ClientFrame[]): void {
    if (!this.#isOpen || this.#isDone) return;
    let batch: string[] = [];
    let size = 0;
    for (const frame of frames) {
      const text = JSON.stringify(frame);
      if (size + text.length > BATCH_CHARS_MAX) {
        this.#write(batch);
        batch = [];
        size = 0;
      }
      batch.push(text);
      size += text.length;
    }
    this.#write(batch);
  }

  #write(batch: readonly string[]): void {
    const [only, ...more] = batch;
    if (only !== undefined) this.#socket.send(more.length === 0 ? only : `[${batch.join(',')}]`);
  }

  close(code: number, reason: string): void {
    this.#isDone = true;
    // Browsers allow 1000 and 3000-4999 only; what the code says went as `bye` already.
    this.#socket.close(code === 1000 || code >= 3000 ? code : 1000, reason);
  }

  #end(events: TransportEvents, code: number, reason: string): void {
    this.close(1000, reason);
    events.closed(code, reason);
  }
}

function framesOf(data: unknown): readonly ServerFrame[] | undefined {
  if (typeof data !== 'string') return undefined;
  try {
    const value: unknown = JSON.parse(data);
    const frames = Array.isArray(value) ? value : [value];
    return frames.every((frame) => typeof frame === 'object' && frame !== null)
      ? (frames as ServerFrame[])
      : undefined;
  } catch {
    return undefined;
  }
}

function failed(events: TransportEvents, reason: string): TransportConnection {
  let isDone = false;
  queueMicrotask(() => {
    if (!isDone) events.closed(1006, reason);
  });
  return {
    send: () => undefined,
    close: () => {
      isDone = true;
    },
  };
}
