/** broker.v1 on the main thread, with a Link of its own to the store. */
import { fileURLToPath } from 'node:url';
import { setLogger } from '@grpc/grpc-js';
import type { MessagePort } from 'node:worker_threads';
import type { Link } from '../core/link.ts';
import { newRawId } from '../core/ids.ts';
import type { Logger, MetricSample } from '../core/observe.ts';
import { payloadHash } from '../core/payload-hash.ts';
import { RECORD, idAt, positionAt } from '../core/record.ts';
import { codecOf } from '../proto/codec.ts';
import { ContentSchema } from '../proto/gen/parley/v1/content_pb.ts';
import { BrokerServer } from '../gateways/grpc/broker-server.ts';
import { Subscriptions } from '../gateways/grpc/subscribe.ts';
import { KnownUsers } from '../gateways/known-users.ts';
import { StoreLink } from '../gateways/store-link.ts';
import type { IdentityService } from '../services/identity/contract.ts';
import type { Cluster } from './cluster.ts';
import type { Config } from './config-table.ts';
import { IdentityGateway } from './identity-port.ts';
import { linkSource } from './links/link-source.ts';
import { REAL_CLOCK, REAL_TIMERS } from './real-time.ts';

export interface GrpcFrontParts {
  readonly config: Config;
  readonly log: Logger;
  readonly cluster: Cluster;
  readonly identity: IdentityService;
  /** One end of a Link to the store. */
  readonly port: MessagePort;
  /** Hands the end of a further one to the store. */
  readonly connectStore: (port: MessagePort) => Promise<void>;
}

export interface GrpcFront {
  readonly port: number;
  /** Also carries what the main thread itself appends. */
  readonly link: StoreLink;
  metrics(): readonly MetricSample[];
  stop(): Promise<void>;
}

const PROTO_DIR = fileURLToPath(new URL('../../proto', import.meta.url));

export async function grpcFront(parts: GrpcFrontParts): Promise<GrpcFront> {
  const { config, log, cluster, identity } = parts;
  const link = newLink(
    linkSource(parts.port, parts.connectStore),
    log,
    (conversation, head) => subscriptions.pushed(conversation, head),
    () => subscriptions.resync(),
  );
  const subscriptions: Subscriptions = new Subscriptions(link);
  const contents = codecOf(ContentSchema);
  const server = new BrokerServer({
    link,
    subscriptions,
    users: new KnownUsers(new IdentityGateway(identity), REAL_TIMERS),
    surroundings: {
      contentBytes: (content) => contents.encode(content),
      payloadHash: (clientMessageId, body) => payloadHash(cluster.hashKey, clientMessageId, body),
      newUuid: () => newRawId(REAL_CLOCK.nowMs()),
    },
    scopesOf: async (token) => (await identity.verifyServiceToken(token)).scopes,
    host: config.grpcHost,
    port: config.grpcPort,
    protoDir: PROTO_DIR,
  });
  // The library writes plain lines to standard error; whatever matters in them comes as an error too.
  const said = (...words: unknown[]): void => log.debug('grpc', { said: words.join(' ') });
  setLogger({ error: said, info: said, debug: said });
  link.start();
  const port = await server.start().catch((thrown: unknown) => {
    link.stop();
    throw thrown;
  });
  return {
    port,
    link,
    metrics: () => server.metrics(),
    stop: async () => {
      await server.stop();
      link.stop();
    },
  };
}

// biome-ignore format: one signature
function newLink(connect: () => Link, log: Logger, row: (conversation: Uint8Array, head: number) => void, resync: () => void): StoreLink {
  return new StoreLink({
    connect,
    clock: REAL_CLOCK,
    timers: REAL_TIMERS,
    log,
    pushed: (kind, at, slab) => {
      if (kind === RECORD.row) row(idAt(slab, at), positionAt(slab, at));
      else if (kind === RECORD.resync) resync();
    },
    slabDone: () => undefined,
    connected: (isFirst) => {
      if (!isFirst) resync();
    },
  });
}
