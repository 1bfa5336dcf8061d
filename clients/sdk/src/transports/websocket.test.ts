import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ServerFrame } from '../contract.ts';
import { webSocketTransport } from './websocket.ts';

class FakeSocket {
  static last: FakeSocket | undefined;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly sent: string[] = [];
  closedWith: number | undefined;
  readonly url: string;
  readonly protocols: readonly string[];

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.last = this;
  }

  send(data: string): void {
    this.sent.push(data);
  }

  close(code?: number): void {
    this.closedWith = code;
  }

  say(data: unknown): void {
    this.onmessage?.({ data } as never);
  }
}

function opened(url = 'https://chat.example/'): {
  socket: FakeSocket;
  heard: ServerFrame[];
  closed: number[];
  connection: ReturnType<ReturnType<typeof webSocketTransport>['open']>;
} {
  const heard: ServerFrame[] = [];
  const closed: number[] = [];
  const connection = webSocketTransport(FakeSocket).open(url, {
    opened: () => undefined,
    frames: (frames) => heard.push(...frames),
    closed: (code) => closed.push(code),
  });
  const socket = FakeSocket.last;
  assert.ok(socket);
  socket.onopen?.({} as never);
  return { socket, heard, closed, connection };
}

describe('WebSocket transport', () => {
  it('speaks parley.v1.json to /v1/ws below the server’s URL', () => {
    const { socket } = opened();
    assert.equal(socket.url, 'wss://chat.example/v1/ws');
    assert.deepEqual(socket.protocols, ['parley.v1.json']);
    assert.equal(opened('ws://127.0.0.1:9/v1/ws').socket.url, 'ws://127.0.0.1:9/v1/ws');
  });

  it('one frame goes as itself, several as an array, many as messages of less than 256 KiB', () => {
    const { socket, connection } = opened();
    connection.send([{ ping: {} }]);
    assert.equal(socket.sent[0], '{"ping":{}}');
    connection.send([{ ping: {} }, { bye: {} }]);
    assert.equal(socket.sent[1], '[{"ping":{}},{"bye":{}}]');
    socket.sent.length = 0;
    const token = '€'.repeat(30_000);
    connection.send(Array.from({ length: 10 }, () => ({ auth: { token } })));
    assert.ok(socket.sent.length > 1);
    for (const text of socket.sent) assert.ok(new TextEncoder().encode(text).length <= 256 * 1024);
    assert.equal(socket.sent.flatMap((text) => JSON.parse(text) as unknown[]).length, 10);
  });

  it('hears frames and arrays of frames in order; what is no frame ends it with 1007', () => {
    const { socket, heard, closed } = opened();
    socket.say('{"ping":{}}');
    socket.say('[{"pong":{}},{"drain":{}}]');
    assert.deepEqual(
      heard.map((frame) => Object.keys(frame)[0]),
      ['ping', 'pong', 'drain'],
    );
    socket.say('not json');
    assert.deepEqual(closed, [1007]);
    socket.say('{"ping":{}}');
    assert.equal(heard.length, 3);
  });

  it('closed is told once, and nothing after it', () => {
    const { socket, closed, connection } = opened();
    socket.onclose?.({ code: 4005, reason: 'TOKEN_EXPIRED' } as never);
    socket.onclose?.({ code: 1006 } as never);
    assert.deepEqual(closed, [4005]);
    connection.send([{ ping: {} }]);
    assert.deepEqual(socket.sent, []);
    const silent = opened();
    silent.connection.close(1000, '');
    silent.socket.onclose?.({ code: 1000 } as never);
    assert.deepEqual(silent.closed, []);
    assert.equal(silent.socket.closedWith, 1000);
  });

  it('a constructor that throws is a failed attempt, not an exception', async () => {
    const throwing = class {
      constructor() {
        throw new SyntaxError('bad url');
      }
    } as unknown as typeof FakeSocket;
    const closed: number[] = [];
    webSocketTransport(throwing).open('nonsense', {
      opened: () => undefined,
      frames: () => undefined,
      closed: (code) => closed.push(code),
    });
    await Promise.resolve();
    assert.deepEqual(closed, [1006]);
  });
});
