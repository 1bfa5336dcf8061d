/**
 * An internal service on broker.v1: STREAMS publish streams with WINDOW messages of BYTES in flight
 * each, every one in a conversation of its own, which the same service subscribes to. TOKEN is a
 * service token with the scopes broker and act_as.
 *
 *   k6 run -e URL=http://127.0.0.1:8080 -e GRPC=127.0.0.1:8081 -e TOKEN=... bench/k6/publish.ts
 */
import exec from 'k6/execution';
import { Client, Stream, type GrpcError } from 'k6/net/grpc';
import type { Options } from 'k6/options';
import { setTimeout } from 'k6/timers';
import { makeUsers, type Account } from './accounts.ts';
import {
  ackMs,
  deliveries,
  disorder,
  duplicates,
  endToEndMs,
  lineOf,
  refused,
  sends,
  TREND_STATS,
  type Summary,
} from './figures.ts';
import { count, FILLING, SECONDS, setting } from './surroundings.ts';

const STREAMS = count('STREAMS', 10);
const WINDOW = count('WINDOW', 8);
const GRPC = setting('GRPC', '127.0.0.1:8081');
const SERVICE = 'parley.broker.v1.BrokerService';
const DRAIN_MS = 2000;

interface PublishAnswer {
  readonly commit?: { readonly conversationId: string };
  readonly error?: { readonly info?: { readonly reason?: string } };
}

/** 64-bit integers are strings in k6's form of protobuf's JSON. */
interface Subscribed {
  readonly rows?: {
    readonly rows: readonly {
      readonly sequence: string;
      readonly body?: { readonly message?: { readonly text?: { readonly body?: string } } };
    }[];
  };
}

const client = new Client();
client.load(['../../proto'], 'parley/broker/v1/broker.proto');

export const options: Options = {
  scenarios: {
    publish: {
      executor: 'per-vu-iterations',
      vus: STREAMS,
      iterations: 1,
      maxDuration: `${SECONDS + 30}s`,
    },
  },
  setupTimeout: '120s',
  summaryTrendStats: TREND_STATS,
};

export interface Prepared {
  readonly users: readonly Account[];
}

export function setup(): Prepared {
  return { users: makeUsers(STREAMS * 2) };
}

export default function publish({ users }: Prepared): void {
  const first = (exec.vu.idInTest - 1) * 2;
  const [from, to] = [users[first], users[first + 1]];
  if (from === undefined || to === undefined) throw new TypeError('more streams than users');
  client.connect(GRPC, { plaintext: true });
  const metadata = { authorization: `Bearer ${setting('TOKEN', '')}` };
  const until = Date.now() + SECONDS * 1000;
  const stream = new Stream(client, `${SERVICE}/Publish`, { metadata });
  const outboxId = crypto.randomUUID();
  // Answers come in the order of the requests.
  const sentAt: number[] = [];
  let clientSeq = 0;
  const send = (): void => {
    const now = Date.now();
    sentAt.push(now);
    const after = clientSeq++;
    stream.write({
      as: from.userId,
      send: {
        to: `direct:${to.userId}`,
        outboxId,
        clientSeq,
        after,
        clientMessageId: crypto.randomUUID(),
        body: { message: { text: { body: `${now} ${FILLING}` } } },
      },
    });
  };
  let isOver = false;
  // Closing the client at the end cancels its streams, and says so as an error.
  const failed = (error: object | undefined): void => {
    if (!isOver) refused((error as GrpcError).message);
  };
  let subscription: Stream | undefined;
  stream.on('data', (answer) => {
    const { commit, error } = answer as PublishAnswer;
    const began = sentAt.shift() ?? Date.now();
    if (commit === undefined) return refused(error?.info?.reason ?? '');
    ackMs.add(Date.now() - began);
    sends.add(1);
    subscription ??= subscribe(commit.conversationId, metadata, failed);
    if (Date.now() < until) send();
  });
  stream.on('error', failed);
  for (let i = 0; i < WINDOW; i++) send();
  setTimeout(
    () => {
      isOver = true;
      stream.end();
      client.close();
    },
    SECONDS * 1000 + DRAIN_MS,
  );
}

function subscribe(
  conversationId: string,
  metadata: object,
  failed: (error: object | undefined) => void,
): Stream {
  const stream = new Stream(client, `${SERVICE}/Subscribe`, { metadata });
  let head = 0;
  stream.on('data', (received) => {
    for (const row of (received as Subscribed).rows?.rows ?? []) {
      const sequence = Number(row.sequence);
      if (sequence <= head) duplicates.add(1);
      else if (head > 0 && sequence !== head + 1) disorder.add(1);
      head = Math.max(head, sequence);
      const sentAt = Number.parseInt(row.body?.message?.text?.body ?? '', 10);
      if (Number.isNaN(sentAt)) continue;
      deliveries.add(1);
      endToEndMs.add(Date.now() - sentAt);
    }
  });
  stream.on('error', failed);
  stream.write({ conversations: [{ conversationId }] });
  stream.end();
  return stream;
}

export function handleSummary(summary: Summary): { stdout: string } {
  return lineOf('publish', summary);
}
