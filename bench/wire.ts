/**
 * A raw WebSocket client for load (RFC 6455): TCP with coalesced writes, a zero mask key, no copies.
 * It measures the server, so it must cost little itself; nothing else in the product uses it.
 */
import { randomBytes } from 'node:crypto';
import net from 'node:net';

export interface RawSocket {
  /** Queues one binary message; everything queued in a turn leaves in one write. */
  send(payload: Buffer): void;
  close(): void;
}

export interface RawSocketEvents {
  /** One message: bytes [start, end) of `buffer`, valid during the call only. */
  readonly message: (buffer: Buffer, start: number, end: number) => void;
  readonly closed: (code: number) => void;
}

/** Resolves when the upgrade is done; rejects when the server refuses it. */
export async function openSocket(
  url: URL,
  protocol: string,
  events: RawSocketEvents,
): Promise<RawSocket> {
  const connection = new Connection(url, protocol, events);
  await connection.opened;
  return connection;
}

class Connection implements RawSocket {
  readonly opened: Promise<void>;
  readonly #socket: net.Socket;
  readonly #events: RawSocketEvents;
  #up: { done: () => void; fail: (error: unknown) => void } | undefined;
  #rest: Buffer | undefined;
  #isCorked = false;
  #closeCode = 1006;

  constructor(url: URL, protocol: string, events: RawSocketEvents) {
    this.#events = events;
    const socket = net.connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    this.#socket = socket;
    this.opened = new Promise((done, fail) => {
      this.#up = { done, fail };
      socket.once('error', fail);
    });
    socket.once('connect', () => socket.write(upgradeRequest(url, protocol)));
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#up?.fail(new TypeError('closed before the upgrade'));
      events.closed(this.#closeCode);
    });
  }

  send(payload: Buffer): void {
    this.#write(frame(2, payload));
  }

  close(): void {
    this.#socket.destroy();
  }

  #write(bytes: Buffer): void {
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  #read(bytes: Buffer): void {
    const all = this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes]);
    const used = this.#consume(all);
    this.#rest = used < all.length ? all.subarray(used) : undefined;
  }

  #consume(bytes: Buffer): number {
    let at = 0;
    if (this.#up !== undefined) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) return 0;
      const status = bytes.toString('latin1', 0, bytes.indexOf('\r\n'));
      const up = this.#up;
      this.#up = undefined;
      if (!status.startsWith('HTTP/1.1 101')) {
        up.fail(new TypeError(status));
        this.close();
        return bytes.length;
      }
      at = end + 4;
      up.done();
    }
    for (;;) {
      const next = this.#frame(bytes, at);
      if (next === at) return at;
      at = next;
    }
  }

  /** Reads one frame at `at`; returns where the next begins, or `at` if it is not whole yet. */
  #frame(bytes: Buffer, at: number): number {
    if (bytes.length - at < 2) return at;
    const short = (bytes[at + 1] ?? 0) & 127;
    const header = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length - at < header) return at;
    const length =
      short < 126
        ? short
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : Number(bytes.readBigUInt64BE(at + 2));
    const start = at + header;
    const end = start + length;
    if (bytes.length < end) return at;
    const opcode = (bytes[at] ?? 0) & 15;
    if (opcode === 9) this.#write(frame(10, bytes.subarray(start, end)));
    else if (opcode === 8) {
      this.#closeCode = length >= 2 ? bytes.readUInt16BE(start) : 1005;
      this.#socket.end();
    } else if (opcode < 3) this.#events.message(bytes, start, end);
    return end;
  }
}

function upgradeRequest(url: URL, protocol: string): string {
  return [
    `GET ${url.pathname} HTTP/1.1`,
    `Host: ${url.host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Protocol: ${protocol}`,
    '\r\n',
  ].join('\r\n');
}

function frame(opcode: number, payload: Buffer): Buffer {
  const length = payload.length;
  const header = length < 126 ? 6 : length < 65_536 ? 8 : 14;
  const out = Buffer.allocUnsafe(header + length);
  out[0] = 0x80 | opcode;
  if (length < 126) out[1] = 0x80 | length;
  else if (length < 65_536) {
    out[1] = 0x80 | 126;
    out.writeUInt16BE(length, 2);
  } else {
    out[1] = 0x80 | 127;
    out.writeBigUInt64BE(BigInt(length), 2);
  }
  out.fill(0, header - 4, header);
  payload.copy(out, header);
  return out;
}
