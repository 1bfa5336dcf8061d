/** broker.v1 for internal services, and what a node's death leaves behind. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type GrpcObject,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { before, describe, it } from 'mocha';
import { call } from '../../../bench/accounts.ts';
import { encodeId, groupConversationRaw, newId, newRawId } from '../../../core/ids.ts';
import { people, type Account } from './accounts.ts';
import { closeAfterEach, online, speaker, text } from './carriers.ts';
import { ownServer } from './house.ts';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const PARLEY = join(ROOT, 'dist/tools/parley.js');
const PUBLISHED = 600;
const WINDOW = 32;

interface Row {
  readonly sequence: number;
  readonly clientMessageId: string;
}

interface Answer {
  readonly commit?: { readonly conversationId: string; readonly sequence: number } | null;
  readonly error?: { readonly code: string; readonly info: { readonly reason: string } } | null;
}

interface Page {
  readonly rows?: { readonly epoch: number; readonly head: number; readonly rows: readonly Row[] };
  readonly gap?: object;
  readonly caughtUp?: boolean;
}

interface BrokerClient extends Client {
  Publish(caller: Metadata): ClientDuplexStream<object, Answer>;
  Subscribe(request: object, caller: Metadata): ClientReadableStream<Page>;
  Read(
    request: object,
    caller: Metadata,
    done: (error: ServiceError | null, page: { readonly rows: readonly Row[] }) => void,
  ): void;
}

describe('conformance of broker.v1 and of a node that dies', function () {
  this.timeout(30_000);
  const settings: Record<string, string> = {};
  before(async () => {
    settings['PARLEY_GRPC_PORT'] = String(await freePort());
  });
  const server = ownServer(settings);
  closeAfterEach();
  const address = (): string => `127.0.0.1:${settings['PARLEY_GRPC_PORT'] ?? ''}`;
  const token = async (name: string, ...scopes: string[]): Promise<string> => {
    const made = ['token', 'create', '--name', name, '--scope', ...scopes];
    const args = [PARLEY, '--data-dir', server().dataDir, ...made];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return stdout.trim();
  };
  const broker = (): BrokerClient =>
    clientOf('parley/broker/v1/broker.proto', 'proto', 'parley.broker.v1.BrokerService', address());
  let pair: [Account, Account];
  let caller: Metadata;
  before(async () => {
    const [anna, ben] = await people(server().url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    pair = [anna, ben];
    caller = bearing(await token('shop', 'broker', 'act_as'));
  });

  it('the README’s fifteen lines publish and subscribe', async () => {
    const [anna, ben] = await people(server().url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const made = await token('readme', 'broker,act_as');
    const args = [
      'docs/examples/service.mjs',
      made,
      anna.userId,
      `direct:${ben.userId}`,
      address(),
    ];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => {
        said += bytes.toString();
        if (said.includes('on its way')) child.kill();
      });
    await once(child, 'close');
    assert.match(said, /published [\s\S]*sequence: 1[\s\S]*subscribed [\s\S]*on its way/);
    const reader = await speaker(server().url, ben, 'rest');
    const { messages } = await reader.do('Messages.List', {
      conversationId: `direct:${anna.userId}`,
    });
    assert.deepEqual(
      messages.map(({ senderUserId }) => senderUserId),
      [anna.userId],
    );
  });

  it('answers come in the order of the requests, one each, refusals among them (G3)', async () => {
    const [anna, ben] = pair;
    const to = `direct:${ben.userId}`;
    const nobody = newId('usr', Date.now());
    const requests: [object, string][] = [
      [sendOf(anna, to, 'one'), 'ok'],
      [sendOf(anna, to, ''), 'BAD_TEXT'],
      [sendOf(anna, 'nowhere', 'x'), 'BAD_ID'],
      [{ send: { to, body: text('x') } }, 'BAD_FIELD'],
      [{ as: anna.userId }, 'BAD_FIELD'],
      [sendOf({ userId: nobody }, to, 'x'), 'USER_UNKNOWN'],
      [sendOf(anna, `direct:${nobody}`, 'x'), 'USER_UNKNOWN'],
      [sendOf(ben, `direct:${anna.userId}`, 'two'), 'ok'],
    ];
    const stream = broker().Publish(caller);
    const answers: Answer[] = [];
    stream.on('data', (answer: Answer) => answers.push(answer));
    for (const [request] of requests) stream.write(request);
    stream.end();
    await once(stream, 'end');
    assert.deepEqual(
      answers.map(({ error }) => error?.info.reason ?? 'ok'),
      requests.map(([, wanted]) => wanted),
    );
  });

  it('people get what a service publishes live, and it what they send', async () => {
    const [anna, ben] = pair;
    const client = broker();
    const reader = await online(server().url, ben);
    const { conversationId, sequence } = await reader.say(`direct:${anna.userId}`, 'hello?');
    const epoch = (await reader.do('Conversations.Get', { conversationId })).epoch;
    const following = follow(client, caller, [{ conversationId, cursor: { epoch, sequence } }]);
    await following.caughtUp;
    const stream = client.Publish(caller).resume();
    stream.write(sendOf(anna, conversationId, 'from the service'));
    await reader.socket.row(conversationId, sequence + 1);
    const answer = await reader.say(conversationId, 'thanks');
    await following.reached(answer.sequence);
    assert.deepEqual(following.sequences, [sequence + 1, sequence + 2]);
    stream.end();
    await once(stream, 'end');
    following.stream.cancel();
  });

  it('without a token, with a useless one or without the scope it is refused with the reason', async () => {
    const reading = await token('reader', 'broker');
    const chatting = await token('bot', 'chat');
    const [anna, ben] = pair;
    const published = async (metadata: Metadata): Promise<string> => {
      const stream = broker().Publish(metadata);
      stream.on('data', () => undefined);
      stream.write(sendOf(anna, `direct:${ben.userId}`, 'x'));
      const [error] = (await once(stream, 'error')) as [ServiceError];
      return String(error.metadata.get('parley-reason')[0]);
    };
    const read = (metadata: Metadata): Promise<string> =>
      new Promise((done) => {
        const raw = groupConversationRaw(newRawId(1), newRawId(2));
        const request = { conversationId: encodeId('cnv', raw) };
        broker().Read(request, metadata, (error) =>
          done(String(error?.metadata.get('parley-reason')[0])),
        );
      });
    assert.equal(await published(new Metadata()), 'TOKEN_INVALID');
    assert.equal(await published(bearing('pst_nonsense')), 'TOKEN_INVALID');
    assert.equal(await published(bearing(anna.accessToken)), 'TOKEN_INVALID');
    assert.equal(await published(bearing(reading)), 'SCOPE_REQUIRED');
    assert.equal(await read(bearing(chatting)), 'SCOPE_REQUIRED');
    assert.equal(await read(bearing(reading)), 'CONVERSATION_UNKNOWN');
    const rest = await call(server().url, 'GET', '/v1/users/me', { token: reading });
    assert.equal(rest.status, 401, 'a service has no user');
  });

  it('reflection lists the service and health says SERVING', async () => {
    const reflection = clientOf<
      Client & { ServerReflectionInfo(): ClientDuplexStream<object, object> }
    >(
      'grpc/reflection/v1/reflection.proto',
      'node_modules/@grpc/reflection/build/proto',
      'grpc.reflection.v1.ServerReflection',
      address(),
    );
    const info = reflection.ServerReflectionInfo();
    info.write({ listServices: '*' });
    const [listed] = (await once(info, 'data')) as [object];
    assert.match(JSON.stringify(listed), /parley\.broker\.v1\.BrokerService/);
    info.write({ fileContainingSymbol: 'parley.broker.v1.BrokerService' });
    const [file] = (await once(info, 'data')) as [object];
    assert.match(JSON.stringify(file), /fileDescriptorProto/);
    info.end();
    const health = clientOf<
      Client & { Check(request: object, done: (error: unknown, answer: object) => void): void }
    >(
      'health/v1/health.proto',
      'node_modules/grpc-health-check/proto',
      'grpc.health.v1.Health',
      address(),
    );
    for (const service of ['', 'parley.broker.v1.BrokerService'])
      assert.deepEqual(
        await new Promise((done) => health.Check({ service }, (_, answer) => done(answer))),
        { status: 'SERVING' },
      );
  });

  it('publish and subscribe while the node dies: commits in order, every row from the cursor on (case 62, R234)', async () => {
    const [anna, ben] = pair;
    const outboxId = randomUUID();
    const names = Array.from({ length: PUBLISHED }, () => randomUUID());
    const first = await publishAll(broker(), caller, [
      sendOf(anna, `direct:${ben.userId}`, 'begin'),
    ]);
    const [begin] = first;
    assert.ok(begin !== undefined);
    const { conversationId } = begin;
    const cursor = {
      epoch: await epochOf(server().url, ben, conversationId),
      sequence: begin.sequence,
    };
    const requests = names.map((clientMessageId, i) => ({
      as: anna.userId,
      send: {
        to: conversationId,
        outboxId,
        clientSeq: i + 1,
        after: i,
        clientMessageId,
        body: text(`order ${i + 1}`),
      },
    }));
    const early = follow(broker(), caller, [{ conversationId, cursor }]);
    const committed: number[] = [];
    const publishing = publishWindowed(broker(), caller, requests, committed);
    await early.reached(begin.sequence + 100);
    await server().kill();
    await publishing;
    const died = committed.length;
    assert.ok(died > 0 && died < PUBLISHED, `${died} were committed before it died`);
    await server().start();

    // Nobody knows what became of those without an answer: the same again, from the first of them.
    const late = follow(broker(), caller, [
      { conversationId, cursor: { epoch: cursor.epoch, sequence: early.last } },
    ]);
    await publishWindowed(broker(), caller, requests.slice(died), committed);
    assert.deepEqual(
      committed,
      names.map((_, i) => begin.sequence + 1 + i),
    );
    const end = begin.sequence + PUBLISHED;
    await late.reached(end);
    const rows = [...early.rows, ...late.rows];
    assert.deepEqual(
      rows.map(({ sequence }) => sequence),
      committed,
    );
    assert.deepEqual(
      rows.map(({ clientMessageId }) => clientMessageId),
      names,
    );
    const whole = follow(broker(), caller, [{ conversationId, cursor }]);
    await whole.reached(end);
    assert.deepEqual(
      whole.rows.map(({ clientMessageId }) => clientMessageId),
      names,
    );
    for (const { stream } of [late, whole]) stream.cancel();
  });

  it('committed, then everything is killed: the row is there, its number remembered (cases 5, 6, 12, R016, R210)', async () => {
    const [anna, ben] = await people(server().url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const sent = {
      to: `direct:${ben.userId}`,
      outboxId: randomUUID(),
      clientSeq: 1,
      after: 0,
      clientMessageId: randomUUID(),
      body: text('durable'),
    };
    const live = await online(server().url, anna);
    const first = await live.send(sent);
    const rest = await speaker(server().url, ben, 'rest');
    const second = await rest.say(`direct:${anna.userId}`, 'also over REST');
    await server().killAll();
    await server().start();
    const again = await speaker(server().url, anna, 'rest');
    const { messages } = await again.do('Messages.List', { conversationId: first.conversationId });
    assert.deepEqual(
      messages.map(({ sequence, messageId, timeMs }) => [sequence, messageId, timeMs]),
      [first, second].map(({ sequence, messageId, timeMs }) => [sequence, messageId, timeMs]),
    );
    const replay = await (await online(server().url, anna)).send(sent);
    assert.deepEqual([replay.sequence, replay.replayed], [first.sequence, true]);
  });
});

/** Sends all with a window, in order; ends when all are answered or the stream breaks. */
async function publishWindowed(
  client: BrokerClient,
  caller: Metadata,
  requests: readonly object[],
  committed: number[],
): Promise<void> {
  const stream = client.Publish(caller);
  let next = 0;
  let answered = 0;
  const more = (): void => {
    while (next < requests.length && next - answered < WINDOW) stream.write(requests[next++] ?? {});
    if (answered === requests.length) stream.end();
  };
  await new Promise<void>((done) => {
    stream.on('data', ({ commit, error }: Answer) => {
      assert.equal(error ?? undefined, undefined);
      committed.push(Number(commit?.sequence));
      answered++;
      more();
    });
    stream.on('error', () => done());
    stream.on('end', done);
    more();
  });
}

async function publishAll(
  client: BrokerClient,
  caller: Metadata,
  requests: readonly object[],
): Promise<{ readonly conversationId: string; readonly sequence: number }[]> {
  const stream = client.Publish(caller);
  const commits: { conversationId: string; sequence: number }[] = [];
  stream.on('data', ({ commit }: Answer) => {
    if (commit) commits.push(commit);
  });
  for (const request of requests) stream.write(request);
  stream.end();
  await once(stream, 'end');
  return commits;
}

interface Following {
  readonly stream: ClientReadableStream<Page>;
  readonly rows: Row[];
  readonly sequences: readonly number[];
  readonly last: number;
  readonly caughtUp: Promise<unknown>;
  reached(sequence: number): Promise<void>;
}

function follow(client: BrokerClient, caller: Metadata, conversations: object[]): Following {
  const stream = client.Subscribe({ conversations }, caller);
  const rows: Row[] = [];
  const waits: { readonly sequence: number; readonly done: () => void }[] = [];
  const last = (): number => rows.at(-1)?.sequence ?? 0;
  let isCaughtUp: () => void = () => undefined;
  const caughtUp = new Promise<void>((done) => {
    isCaughtUp = done;
  });
  stream.on('error', () => undefined);
  stream.on('data', (page: Page) => {
    assert.equal(page.gap ?? undefined, undefined);
    rows.push(...(page.rows?.rows ?? []));
    if (page.caughtUp === true) isCaughtUp();
    for (const wait of waits) if (wait.sequence <= last()) wait.done();
  });
  return {
    stream,
    rows,
    caughtUp,
    get sequences() {
      return rows.map(({ sequence }) => sequence);
    },
    get last() {
      return last();
    },
    reached: (sequence) =>
      new Promise((done) => {
        if (last() >= sequence) done();
        else waits.push({ sequence, done });
      }),
  };
}

function clientOf<T = BrokerClient>(file: string, folder: string, name: string, to: string): T {
  const definition = loadSync(file, {
    includeDirs: [join(ROOT, folder)],
    longs: Number,
    enums: String,
  });
  let at: unknown = loadPackageDefinition(definition);
  for (const part of name.split('.')) at = (at as GrpcObject)[part];
  return new (at as ServiceClientConstructor)(to, credentials.createInsecure()) as T;
}

function bearing(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

function sendOf({ userId }: { readonly userId: string }, to: string, body: string): object {
  return { as: userId, send: { to, clientMessageId: randomUUID(), body: text(body) } };
}

async function epochOf(url: string, account: Account, conversationId: string): Promise<number> {
  const reader = await speaker(url, account, 'rest');
  return (await reader.do('Conversations.Get', { conversationId })).epoch;
}

async function freePort(): Promise<number> {
  const listening = net.createServer().listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const bound = listening.address();
  listening.close();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}
