/** Frames that are almost right: each kind of frame, with something random done to it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { codecOf } from '../../../proto/codec.ts';
import { ClientFrameSchema } from '../../../proto/gen/parley/client/v1/session_pb.ts';
import { methodNamed } from '../../../gateways/methods.ts';
import { delimited } from '../../../gateways/wire.ts';
import type { MethodName } from '../../../gateways/session/method-names.ts';
import { connect, restCall, type RestAnswer } from './carriers.ts';

type Json = Record<string, unknown>;

const BATCH = 400;
const JUNK: readonly unknown[] = [
  null,
  -1,
  1.5,
  2 ** 53,
  1e308,
  '',
  'x'.repeat(3000),
  'a\ud800',
  'b\u0000',
  '__proto__',
  [],
  {},
  [[[[]]]],
  { constructor: { prototype: 1 } },
  true,
  '9'.repeat(40),
];
const up = codecOf(ClientFrameSchema);

export class RandomFrames {
  readonly #seeds: readonly Json[];
  /** What they were refused with. */
  readonly reasons: Set<string> = new Set();
  #state = 4711;

  /** A conversation that who sends these is not in, and a user who does not exist. */
  constructor(conversationId: string, nobody: string) {
    this.#seeds = seeds(conversationId, nobody);
  }

  /** Says hello, then a batch of frames, and waits for the end of all or of the connection. */
  async tell(url: string, token: string, format: 'json' | 'proto'): Promise<number> {
    const client = await connect(url, format);
    const ended = client.ended.then(({ code, reason }) => ({ ended: `${code} ${reason}` }));
    const hello = await Promise.race([client.hello(token), ended]);
    assert.ok('ready' in hello && hello.ready !== undefined, JSON.stringify(hello));
    let told = 0;
    for (; told < BATCH && client.socket.readyState === 1; told++)
      client.raw(format === 'json' ? this.#json() : this.#bytes());
    await Promise.race([client.ask({ ping: {} }), client.ended]);
    for (const { error } of client.frames) if (error !== undefined) this.reasons.add(error.reason);
    client.close();
    return told;
  }

  /** The same requests over HTTP; hands back the answers that tell of a fault of the server. */
  async ask(url: string, token: string, count: number): Promise<readonly RestAnswer[]> {
    const faults: RestAnswer[] = [];
    for (let i = 0; i < count; i++) {
      const frame = structuredClone(this.#pick(this.#seeds));
      const call = (frame['call'] ?? {
        method: 'Messages.Send',
        request: frame['send'] ?? {},
      }) as Json;
      const request = call['request'] as Json;
      for (let spoilt = this.#below(3); spoilt >= 0 && Object.keys(request).length > 0; spoilt--)
        this.#spoil(request);
      const method = call['method'] as MethodName;
      const answer = await restCall(url, { method, fields: request, token }).catch(inNoUrl);
      if (answer === undefined) continue;
      const { reason } = answer.body;
      this.reasons.add(typeof reason === 'string' ? reason : 'done');
      if (answer.status >= 500 && reason !== 'PROTOCOL_UNSUPPORTED') faults.push(answer);
    }
    return faults;
  }

  #json(): string {
    const frame = structuredClone(this.#pick(this.#seeds));
    for (let i = this.#below(3); i >= 0; i--) this.#spoil(frame);
    const text = JSON.stringify(frame);
    if (this.#below(500) > 0) return text;
    const at = this.#below(text.length);
    return text.slice(0, at) + text.slice(at + 1 + this.#below(4));
  }

  #bytes(): Buffer {
    const seed = this.#pick(this.#seeds);
    const bytes = Buffer.from(delimited(up.encode(protoFrame(seed))));
    if (this.#below(500) === 0) bytes[0] = this.#below(256);
    for (let i = this.#below(3); i >= 0; i--)
      bytes[Math.min(bytes.length - 1, 4 + this.#below(bytes.length))] = this.#below(256);
    return bytes;
  }

  /** Puts junk in a random place below `node`. */
  #spoil(node: Json): void {
    const keys = Object.keys(node);
    const key = this.#pick(keys);
    const value = node[key];
    const isDeep = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
    if (isDeep && this.#below(8) > 0) return this.#spoil(value as Json);
    if (this.#below(6) === 0) node[`x${this.#below(9)}`] = structuredClone(this.#pick(JUNK));
    else if (key !== 'id') node[key] = structuredClone(this.#pick(JUNK));
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  #below(n: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * n);
  }
}

/** Resident memory of a process in MiB. */
export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024);
}

/** A lone surrogate cannot be written into a path. */
function inNoUrl(error: unknown): undefined {
  if (!(error instanceof URIError)) throw error;
}

function protoFrame(frame: Json): object {
  const call = frame['call'] as { method: 'Messages.List'; request: object } | undefined;
  if (call === undefined) return frame;
  const { input } = methodNamed(call.method);
  return {
    ...frame,
    call: { ...call, request: input.encode(input.fromJson(call.request) as never) },
  };
}

function seeds(conversationId: string, nobody: string): Json[] {
  const mark = { conversationId, epoch: 1, sequence: 3 };
  const message = { text: { body: 'x 👋', entities: [{ type: 'bold', offset: 0, length: 1 }] } };
  const send = (body: object): Json => ({
    send: {
      to: conversationId,
      outboxId: randomUUID(),
      clientSeq: 2,
      after: 1,
      clientMessageId: randomUUID(),
      body,
    },
  });
  const call = (method: string, request: object): Json => ({ call: { method, request } });
  const frames: Json[] = [
    send({ message }),
    send({ edit: { target: { sequence: 1 }, message } }),
    send({ delete: { target: { clientSeq: 1 } } }),
    { send: { to: `direct:${nobody}`, clientMessageId: randomUUID(), body: { message } } },
    { receipt: { delivered: [mark], read: [mark, mark] } },
    { typing: { conversationId, state: 'typing' } },
    { focus: { conversations: [conversationId], users: [nobody] } },
    { ping: {} },
    { pong: {} },
    call('Messages.List', { conversationId, before: 3, limit: 10 }),
    call('Messages.ListRows', { conversationId, cursor: { epoch: 1, sequence: 1 } }),
    call('Messages.ListReceipts', { conversationId, sequence: 1 }),
    call('Messages.Report', { read: [mark] }),
    call('Sync.ListConversations', { since: 'AQAA', messages: 3, pageSize: 3, pageToken: 'AQAB' }),
    call('Sync.SyncConversation', { conversationId, cursor: { epoch: 1, sequence: 1 }, limit: 3 }),
    call('Conversations.Get', { conversationId }),
    call('Conversations.ListMembers', { conversationId, pageSize: 3, pageToken: 'AQAB' }),
    call('Conversations.AddMembers', { conversationId, userIds: [nobody], role: 'admin' }),
    call('Conversations.SetMyState', {
      conversationId,
      me: { pinned: true },
      updateMask: ['pinned'],
    }),
    call('Conversations.Update', { conversationId, conversation: { name: 'x' }, ifMatch: '1' }),
    call('Users.Get', { userId: nobody }),
  ];
  return frames.map((frame, i) => ({ id: 100 + i, ...frame }));
}
