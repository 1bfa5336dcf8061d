/**
 * broker.v1 for internal services, on grpc-js (CONTRACT §2): Publish, Subscribe, Read, reflection and
 * health. Every call carries an opaque service token with the scope `broker`; Publish also `act_as`.
 */
import type { EventEmitter } from 'node:events';
import {
  Server,
  ServerCredentials,
  type Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { NO_ID } from '../../core/command.ts';
import { ParleyError } from '../../core/errors.ts';
import { parseId } from '../../core/ids.ts';
import type { Metered, MetricSample } from '../../core/observe.ts';
import { QUERY } from '../../core/query.ts';
import { codecOf, type Fields } from '../../proto/codec.ts';
import type { ReadRequest, ReadResponse } from '../../proto/gen/parley/broker/v1/broker_pb.ts';
import {
  ListRowsRequestSchema,
  ListRowsResponseSchema,
} from '../../proto/gen/parley/client/v1/messages_pb.ts';
import {
  BROKER_SERVICE,
  refusalOf,
  refuseStream,
  serviceError,
  type Received,
} from './grpc-calls.ts';
import { addressOf, cannotListen } from '../listening.ts';
import { publish, type PublishParts } from './publish.ts';
import type { Subscriptions } from './subscribe.ts';
import { TokenStreams } from './token-streams.ts';

const MESSAGE_BYTES_MAX = 1024 * 1024;
const SHUTDOWN_MS = 2000;
/** A revoked token fails everywhere within 2 s (CONTRACT §7), also where a stream began with it. */
const TOKENS_CHECKED_MS = 1000;
const SERVICE_NAME = 'parley.broker.v1.BrokerService';

export interface BrokerServerOptions extends PublishParts {
  readonly subscriptions: Subscriptions;
  /** Refuses with TOKEN_INVALID; else the token's scopes. */
  readonly scopesOf: (token: string) => Promise<readonly string[]>;
  readonly host: string;
  readonly port: number;
  /** Folder of the .proto files, for reflection. */
  readonly protoDir: string;
}

export class BrokerServer implements Metered {
  readonly #options: BrokerServerOptions;
  readonly #server = new Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_concurrent_streams': 10_000,
  });
  readonly #health = new HealthImplementation({ '': 'SERVING', [SERVICE_NAME]: 'SERVING' });
  #calls = 0;
  readonly #streams = new TokenStreams((token, needed) => this.#refusal(token, needed));
  #tokensTimer: NodeJS.Timeout | undefined;

  constructor(options: BrokerServerOptions) {
    this.#options = options;
  }

  /** The port that it listens on. Refuses with BACKEND_UNAVAILABLE when that is taken. */
  async start(): Promise<number> {
    this.#server.addService(BROKER_SERVICE, {
      Publish: (stream: Parameters<typeof publish>[0]) =>
        this.#open(stream, ['broker', 'act_as'], () => publish(stream, this.#options)),
      Subscribe: (stream: Parameters<Subscriptions['open']>[0]) =>
        this.#open(stream, ['broker'], () => this.#options.subscriptions.open(stream)),
      Read: (
        call: ServerUnaryCall<Received<ReadRequest>, Fields<ReadResponse>>,
        done: sendUnaryData<Fields<ReadResponse>>,
      ) =>
        this.#admit(call.metadata, ['broker'], (error) =>
          error === undefined ? this.#read(call.request, done) : done(serviceError(error)),
        ),
    });
    this.#tokensTimer = setInterval(() => void this.#streams.check(), TOKENS_CHECKED_MS).unref();
    this.#health.addToServer(this.#server);
    const definition = loadSync('parley/broker/v1/broker.proto', {
      includeDirs: [this.#options.protoDir],
    });
    new ReflectionService(definition).addToServer(this.#server);
    const { host, port } = this.#options;
    return new Promise((done, fail) => {
      this.#server.bindAsync(
        addressOf(host, port),
        ServerCredentials.createInsecure(),
        (error, bound) => {
          if (error === null) done(bound);
          else
            fail(
              cannotListen({
                what: 'gRPC',
                host,
                port,
                hostSetting: 'PARLEY_GRPC_HOST',
                portSetting: 'PARLEY_GRPC_PORT',
                code: codeIn(error.message),
              }),
            );
        },
      );
    });
  }

  /** New calls are refused, running ones get a moment. */
  async stop(): Promise<void> {
    this.#health.setStatus('', 'NOT_SERVING');
    this.#health.setStatus(SERVICE_NAME, 'NOT_SERVING');
    clearInterval(this.#tokensTimer);
    const closed = new Promise<void>((done) => this.#server.tryShutdown(() => done()));
    const late = setTimeout(() => this.#server.forceShutdown(), SHUTDOWN_MS);
    await closed;
    clearTimeout(late);
  }

  metrics(): readonly MetricSample[] {
    return [
      {
        name: 'parley_broker_calls_total',
        kind: 'counter',
        help: 'Calls of broker.v1',
        value: this.#calls,
      },
      {
        name: 'parley_broker_subscribed_conversations',
        kind: 'gauge',
        help: 'Conversations that services follow',
        value: this.#options.subscriptions.count,
      },
    ];
  }

  #open(
    stream: EventEmitter & { readonly metadata: Metadata },
    needed: readonly string[],
    begin: () => void,
  ): void {
    this.#admit(stream.metadata, needed, (error) => {
      if (error !== undefined) return refuseStream(stream, error);
      this.#streams.add(stream, tokenOf(stream.metadata), needed);
      begin();
    });
  }

  #admit(
    metadata: Metadata,
    needed: readonly string[],
    done: (error: ParleyError | undefined) => void,
  ): void {
    this.#calls++;
    this.#refusal(tokenOf(metadata), needed).then(done, (error: unknown) => done(refusalOf(error)));
  }

  /** undefined = the token is live and has the scopes. */
  async #refusal(token: string, needed: readonly string[]): Promise<ParleyError | undefined> {
    if (token === '')
      return new ParleyError(
        'TOKEN_INVALID',
        'send metadata authorization: Bearer <service token>',
      );
    const scopes = await this.#options.scopesOf(token);
    const missing = needed.find((scope) => !scopes.includes(scope));
    return missing === undefined
      ? undefined
      : new ParleyError('SCOPE_REQUIRED', `the token lacks the scope ${missing}`, {
          scope: missing,
        });
  }

  #read(request: Received<ReadRequest>, done: sendUnaryData<Fields<ReadResponse>>): void {
    try {
      if (request instanceof ParleyError) throw request;
      const { conversationId, cursor, limit } = request;
      const key = parseId('cnv', conversationId, 'conversationId');
      const bytes = codecOf(ListRowsRequestSchema).encode({ conversationId, cursor, limit });
      this.#options.link.query(
        { number: QUERY['Messages.ListRows'], key, user: NO_ID, device: NO_ID },
        bytes,
        (outcome) => {
          if (outcome instanceof ParleyError) done(serviceError(outcome));
          else done(null, codecOf(ListRowsResponseSchema).decode(outcome.bytes));
        },
      );
    } catch (error) {
      done(serviceError(refusalOf(error)));
    }
  }
}

/** The system's code, which the library only puts into words; undefined if it is not in them. */
function codeIn(message: string): string | undefined {
  if (message.startsWith('Name resolution failed')) return 'ENOTFOUND';
  return /\bE[A-Z]{3,}\b/.exec(message)?.[0];
}

/** '' = none was given. */
function tokenOf(metadata: Metadata): string {
  const [header] = metadata.get('authorization');
  const [, token = ''] =
    (typeof header === 'string' ? /^Bearer (\S+)$/i.exec(header) : undefined) ?? [];
  return token;
}
