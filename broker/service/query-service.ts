/**
 * Answers `query` records: reads of the public contract and the parts of Resume (link.proto). Runs
 * in the store's thread on StoreReads. Every read first passes a ReadIndex round of its shard, so
 * that it sees whatever was committed before it was asked (CONTRACT §3 G8).
 */
import { ParleyError, toParleyError } from '../../core/errors.ts';
import type { Logger } from '../../core/observe.ts';
import { QUERY, type QueryNumber } from '../../core/query.ts';
import { codecOf, type Codec, type Plain } from '../../proto/codec.ts';
import { DecodeError } from '../../proto/decode-error.ts';
import type { Message as ProtoMessage } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import * as link from '../../proto/gen/parley/broker/v1/link_pb.ts';
import * as conversationsPb from '../../proto/gen/parley/client/v1/conversations_pb.ts';
import * as messagesPb from '../../proto/gen/parley/client/v1/messages_pb.ts';
import * as syncPb from '../../proto/gen/parley/client/v1/sync_pb.ts';
import { ConversationSchema } from '../../proto/gen/parley/v1/types_pb.ts';
import type { StoreReads } from '../runtime/contract.ts';
import type { QueryHandler } from '../runtime/query-handler.ts';
import type { Asked, Caller, Read } from './asked.ts';
import { fits, getConversation, listMembers, membersById, views } from './conversation-reads.ts';
import { listMessages, listReceipts, listRows } from './message-reads.ts';
import { catchUp, changed, directory, syncConversation } from './sync-reads.ts';

export interface QueryResult {
  /** The response in protobuf: valid until the next is made. */
  readonly encode: () => Uint8Array;
  /** Shard index it was read at; 0 = of no single shard. */
  readonly index: number;
}

type Handler = (asked: Asked, request: Uint8Array) => Promise<QueryResult>;

class QueryService {
  readonly #reads: StoreReads;
  readonly #handlers: ReadonlyMap<QueryNumber, Handler>;

  constructor(reads: StoreReads) {
    this.#reads = reads;
    this.#handlers = handlers();
  }

  /** Rejects with ParleyError; anything else that is thrown is a fault of this process. */
  async answer(method: number, caller: Caller, request: Uint8Array): Promise<QueryResult> {
    const handler = this.#handlers.get(method as QueryNumber);
    if (handler === undefined)
      throw new ParleyError('PROTOCOL_UNSUPPORTED', `this broker does not know query ${method}`);
    return handler({ reads: this.#reads, caller }, request);
  }
}

/** The service as a store calls it. What is no refusal is a fault of this process, and logged. */
export function queryHandlerOf(reads: StoreReads, log: Logger): QueryHandler {
  const service = new QueryService(reads);
  return {
    query: ({ method: number, caller, device, request }, reply) => {
      const failed = (thrown: unknown): void => {
        const error = toParleyError(thrown);
        if (error.reason === 'INVARIANT')
          log.error('a query failed', { method: number, cause: String(error.cause) });
        reply.error(error);
      };
      service.answer(number, { user: caller, device }, request).then(({ encode, index }) => {
        let response: Uint8Array;
        try {
          response = encode();
        } catch (error) {
          return failed(error);
        }
        // In the same turn: the next page is written where this one stands.
        reply.result(response, index);
      }, failed);
    },
  };
}

function handlers(): ReadonlyMap<QueryNumber, Handler> {
  return new Map<QueryNumber, Handler>([
    [
      QUERY['Messages.List'],
      method(
        messagesPb.ListMessagesRequestSchema,
        messagesPb.ListMessagesResponseSchema,
        listMessages,
      ),
    ],
    [
      QUERY['Messages.ListRows'],
      method(messagesPb.ListRowsRequestSchema, messagesPb.ListRowsResponseSchema, listRows),
    ],
    [
      QUERY['Messages.ListReceipts'],
      method(
        messagesPb.ListReceiptsRequestSchema,
        messagesPb.ListReceiptsResponseSchema,
        listReceipts,
      ),
    ],
    [
      QUERY['Sync.SyncConversation'],
      method(
        syncPb.SyncConversationRequestSchema,
        syncPb.SyncConversationResponseSchema,
        syncConversation,
      ),
    ],
    [
      QUERY['Conversations.Get'],
      method(conversationsPb.GetConversationRequestSchema, ConversationSchema, getConversation),
    ],
    [
      QUERY['Conversations.ListMembers'],
      method(
        conversationsPb.ListMembersRequestSchema,
        conversationsPb.ListMembersResponseSchema,
        listMembers,
      ),
    ],
    [
      QUERY['Link.Directory'],
      method(link.DirectoryQuerySchema, link.DirectoryAnswerSchema, directory),
    ],
    [QUERY['Link.Changed'], method(link.ChangedQuerySchema, link.ChangedAnswerSchema, changed)],
    [QUERY['Link.Views'], method(link.ViewsQuerySchema, link.ViewsAnswerSchema, views)],
    [QUERY['Link.CatchUp'], method(link.CatchUpQuerySchema, link.CatchUpAnswerSchema, catchUp)],
    [QUERY['Link.Members'], method(link.MembersQuerySchema, link.MembersAnswerSchema, membersById)],
    [QUERY['Link.Fits'], method(link.FitsQuerySchema, link.FitsAnswerSchema, fits)],
  ]);
}

function method<Req extends ProtoMessage, Res extends ProtoMessage>(
  requestType: GenMessage<Req>,
  responseType: GenMessage<Res>,
  work: (asked: Asked, request: Plain<Req>) => Promise<Read<Res>>,
): Handler {
  const requests = codecOf(requestType);
  const responses = codecOf(responseType);
  return async (asked, bytes) => {
    const { response, index } = await work(asked, decode(requests, bytes));
    const encode = typeof response === 'function' ? response : () => responses.encode(response);
    return { encode, index };
  };
}

function decode<T>(codec: Codec<T>, bytes: Uint8Array): Plain<T> {
  try {
    return codec.decode(bytes);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const reason = error.fault === 'unknown-field' ? 'UNKNOWN_FIELD' : 'MALFORMED';
    throw new ParleyError(
      reason,
      `${codec.typeName}: ${error.message}`,
      { field: error.path },
      { cause: error },
    );
  }
}
