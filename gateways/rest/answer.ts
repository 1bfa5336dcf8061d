/** HTTP answers in the contract's shapes (CONTRACT §4). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ruleOf, type ParleyError } from '../../core/errors.ts';
import { codecOf } from '../../proto/codec.ts';
import { ErrorInfoSchema } from '../../proto/gen/parley/v1/errors_pb.ts';

export interface Answer {
  readonly status: number;
  /** undefined = no body. */
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const errorInfos = codecOf(ErrorInfoSchema);

export function errorAnswer(error: ParleyError, requestId: string): Answer {
  const { reason, code, message, retryAfterMs = 0 } = error;
  const metadata = Object.fromEntries(
    Object.entries(error.details).map(([name, value]) => [name, String(value)]),
  );
  const info = errorInfos.encode({ reason, requestId, retryAfterMs, metadata });
  const wait =
    retryAfterMs > 0 ? { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) } : undefined;
  return {
    status: ruleOf(reason).http,
    json: {
      code,
      reason,
      message,
      requestId,
      ...(retryAfterMs > 0 ? { retryAfterMs } : {}),
      ...(Object.keys(metadata).length > 0 ? { metadata } : {}),
      details: [{ type: 'parley.v1.ErrorInfo', value: Buffer.from(info).toString('base64') }],
    },
    ...(wait === undefined ? {} : { headers: wait }),
  };
}

/** Nothing that the API answers may be kept by a cache, or taken for anything but JSON. */
const API_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

export function writeAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
): void {
  for (const [name, value] of Object.entries(API_HEADERS)) response.setHeader(name, value);
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  response.statusCode = answer.status;
  // A body that was not read to its end would be taken for the next request.
  if (!request.complete) response.setHeader('connection', 'close');
  if (answer.json === undefined) {
    response.end();
    return;
  }
  const body = Buffer.from(JSON.stringify(answer.json));
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.setHeader('content-length', body.length);
  response.end(body);
}
