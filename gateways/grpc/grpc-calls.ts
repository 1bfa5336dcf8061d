/**
 * broker.v1 as grpc-js sees it: method definitions with the contract's own codec, errors in gRPC's
 * form. A refusal's reason travels as a `parley.v1.ErrorInfo` in the standard details trailer.
 */
import type { EventEmitter } from 'node:events';
import { Metadata, status, type ServiceDefinition, type ServiceError } from '@grpc/grpc-js';
import type { Message } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { ParleyError, toParleyError, type Code } from '../../core/errors.ts';
import { codecOf, type Fields, type Plain } from '../../proto/codec.ts';
import { DecodeError } from '../../proto/decode-error.ts';
import * as broker from '../../proto/gen/parley/broker/v1/broker_pb.ts';
import { ErrorInfoSchema } from '../../proto/gen/parley/v1/errors_pb.ts';

const STATUS: Readonly<Record<Code, status>> = {
  invalid_argument: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  permission_denied: status.PERMISSION_DENIED,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  failed_precondition: status.FAILED_PRECONDITION,
  aborted: status.ABORTED,
  out_of_range: status.OUT_OF_RANGE,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  canceled: status.CANCELLED,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
  data_loss: status.DATA_LOSS,
};

/** What a request turned out to be: decoded, or why it could not be. */
export type Received<T> = Plain<T> | ParleyError;

/** Deserialisers must not throw, or grpc-js answers INTERNAL: the refusal is handed on instead. */
function reader<T extends Message>(type: GenMessage<T>): (bytes: Buffer) => Received<T> {
  const codec = codecOf(type);
  return (bytes) => {
    try {
      return codec.decode(bytes);
    } catch (error) {
      return refusalOf(error);
    }
  };
}

function writer<T extends Message>(type: GenMessage<T>): (message: Fields<T>) => Buffer {
  const codec = codecOf(type);
  return (message) => Buffer.from(codec.encode(message));
}

const ROOT = '/parley.broker.v1.BrokerService';

export const BROKER_SERVICE: ServiceDefinition = {
  Publish: {
    path: `${ROOT}/Publish`,
    requestStream: true,
    responseStream: true,
    requestSerialize: writer(broker.PublishRequestSchema),
    requestDeserialize: reader(broker.PublishRequestSchema),
    responseSerialize: writer(broker.PublishResponseSchema),
    responseDeserialize: reader(broker.PublishResponseSchema),
  },
  Subscribe: {
    path: `${ROOT}/Subscribe`,
    requestStream: false,
    responseStream: true,
    requestSerialize: writer(broker.SubscribeRequestSchema),
    requestDeserialize: reader(broker.SubscribeRequestSchema),
    responseSerialize: writer(broker.SubscribeResponseSchema),
    responseDeserialize: reader(broker.SubscribeResponseSchema),
  },
  Read: {
    path: `${ROOT}/Read`,
    requestStream: false,
    responseStream: false,
    requestSerialize: writer(broker.ReadRequestSchema),
    requestDeserialize: reader(broker.ReadRequestSchema),
    responseSerialize: writer(broker.ReadResponseSchema),
    responseDeserialize: reader(broker.ReadResponseSchema),
  },
};

/** Whatever was thrown, as a refusal with a reason. */
export function refusalOf(error: unknown): ParleyError {
  if (!(error instanceof DecodeError)) return toParleyError(error);
  const reason =
    error.fault === 'unknown-field'
      ? 'UNKNOWN_FIELD'
      : error.fault === 'bad-text'
        ? 'BAD_TEXT'
        : error.fault === 'bad-field'
          ? 'BAD_FIELD'
          : 'MALFORMED';
  return new ParleyError(reason, error.message, { field: error.path }, { cause: error });
}

/**
 * Ends a streaming call with a refusal. grpc-js sends the status when `error` is emitted; a stream
 * that is destroyed never ends for its caller.
 */
export function refuseStream(stream: EventEmitter, error: ParleyError): void {
  stream.emit('error', serviceError(error));
}

/** Ends a call with a refusal. */
export function serviceError(error: ParleyError): ServiceError {
  const metadata = new Metadata();
  metadata.set('parley-reason', error.reason);
  metadata.set('parley-error-bin', Buffer.from(codecOf(ErrorInfoSchema).encode(errorInfo(error))));
  return new CallRefusal(error, metadata);
}

class CallRefusal extends Error implements ServiceError {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;

  constructor(error: ParleyError, metadata: Metadata) {
    super(error.message, { cause: error });
    this.name = 'CallRefusal';
    this.code = STATUS[error.code];
    this.details = `${error.reason}: ${error.message}`;
    this.metadata = metadata;
  }
}

export function errorInfo(error: ParleyError): {
  reason: string;
  retryAfterMs: number;
  metadata: Record<string, string>;
} {
  const metadata = Object.fromEntries(
    Object.entries(error.details).map(([name, value]) => [name, String(value)]),
  );
  return { reason: error.reason, retryAfterMs: error.retryAfterMs ?? 0, metadata };
}

/** The error of one send among others on a stream. */
export function publishError(error: ParleyError): Fields<broker.PublishResponse> {
  return { error: { code: error.code, message: error.message, info: errorInfo(error) } };
}
