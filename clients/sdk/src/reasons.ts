/** Generated from proto/parley/v1/errors.proto by `npm run generate`; do not edit. */

/** Connect/gRPC codes that reasons use. */
export type Code =
  | 'invalid_argument'
  | 'unauthenticated'
  | 'permission_denied'
  | 'not_found'
  | 'already_exists'
  | 'failed_precondition'
  | 'aborted'
  | 'out_of_range'
  | 'resource_exhausted'
  | 'unavailable'
  | 'deadline_exceeded'
  | 'canceled'
  | 'unimplemented'
  | 'internal'
  | 'data_loss';

/** never: do not repeat; fix: correct it first; sign_in: sign in anew; wait: after retryAfterMs;
 * backoff: the same again, later; reread: read the state again, then redo. */
export type Retry = 'never' | 'fix' | 'sign_in' | 'wait' | 'backoff' | 'reread';

export interface ReasonRule {
  readonly code: Code;
  readonly http: number;
  readonly retry: Retry;
  /** WebSocket close code when it ends a connection; 0 = it never does. */
  readonly close: number;
}

export type Reason =
  | 'MALFORMED'
  | 'UNKNOWN_FIELD'
  | 'BAD_FIELD'
  | 'BAD_ID'
  | 'BAD_TEXT'
  | 'BAD_CURSOR'
  | 'BAD_PAGE_TOKEN'
  | 'WEAK_PASSWORD'
  | 'CHECKSUM_MISMATCH'
  | 'PAYLOAD_TOO_LARGE'
  | 'MEDIA_TYPE'
  | 'FRAME_TOO_LARGE'
  | 'TOKEN_INVALID'
  | 'TOKEN_EXPIRED'
  | 'SESSION_REVOKED'
  | 'REFRESH_REUSED'
  | 'LOGIN_FAILED'
  | 'STEP_UP_REQUIRED'
  | 'NOT_A_MEMBER'
  | 'ROLE_REQUIRED'
  | 'SENDER_MISMATCH'
  | 'SCOPE_REQUIRED'
  | 'BLOCKED'
  | 'SIGNUP_CLOSED'
  | 'ACCOUNT_SUSPENDED'
  | 'ORIGIN_DENIED'
  | 'CONVERSATION_UNKNOWN'
  | 'USER_UNKNOWN'
  | 'MESSAGE_UNKNOWN'
  | 'MEDIA_UNKNOWN'
  | 'INVITE_UNKNOWN'
  | 'TOPIC_UNKNOWN'
  | 'DEVICE_UNKNOWN'
  | 'CONNECTION_UNKNOWN'
  | 'IDEMPOTENCY_CONFLICT'
  | 'USERNAME_TAKEN'
  | 'OUT_OF_ORDER'
  | 'GROUP_FULL'
  | 'LAST_OWNER'
  | 'CONVERSATION_CLOSED'
  | 'TARGET_DELETED'
  | 'EDIT_WINDOW_PASSED'
  | 'MEDIA_NOT_READY'
  | 'INVITE_EXPIRED'
  | 'ENCRYPTION_MISMATCH'
  | 'ENCRYPTED_NO_SEARCH'
  | 'CLIENT_TOO_OLD'
  | 'VERSION_CONFLICT'
  | 'MLS_EPOCH_CONFLICT'
  | 'STALE_MLS_EPOCH'
  | 'IDEMPOTENCY_IN_PROGRESS'
  | 'FENCED'
  | 'CURSOR_TRUNCATED'
  | 'TOO_OLD'
  | 'RATE_LIMITED'
  | 'IN_FLIGHT_EXCEEDED'
  | 'SLOW_MODE'
  | 'QUOTA_EXCEEDED'
  | 'TOO_MANY_CONNECTIONS'
  | 'KEYS_EXHAUSTED'
  | 'OVERLOADED'
  | 'DRAINING'
  | 'SLOW_CONSUMER'
  | 'SHARD_UNAVAILABLE'
  | 'BACKEND_UNAVAILABLE'
  | 'COMMIT_UNKNOWN'
  | 'NOT_LEADER'
  | 'MOVED'
  | 'DEADLINE'
  | 'PING_TIMEOUT'
  | 'HELLO_TIMEOUT'
  | 'CANCELED'
  | 'REPLACED'
  | 'FEATURE_DISABLED'
  | 'PROTOCOL_UNSUPPORTED'
  | 'INVARIANT'
  | 'CORRUPT_ENTRY';

export const REASONS: Readonly<Record<Reason, ReasonRule>> = {
  MALFORMED: { code: 'invalid_argument', http: 400, retry: 'fix', close: 4500 },
  UNKNOWN_FIELD: { code: 'invalid_argument', http: 400, retry: 'fix', close: 0 },
  BAD_FIELD: { code: 'invalid_argument', http: 400, retry: 'fix', close: 0 },
  BAD_ID: { code: 'invalid_argument', http: 400, retry: 'fix', close: 0 },
  BAD_TEXT: { code: 'invalid_argument', http: 400, retry: 'fix', close: 0 },
  BAD_CURSOR: { code: 'invalid_argument', http: 400, retry: 'reread', close: 0 },
  BAD_PAGE_TOKEN: { code: 'invalid_argument', http: 400, retry: 'reread', close: 0 },
  WEAK_PASSWORD: { code: 'invalid_argument', http: 400, retry: 'fix', close: 0 },
  CHECKSUM_MISMATCH: { code: 'invalid_argument', http: 400, retry: 'fix', close: 0 },
  PAYLOAD_TOO_LARGE: { code: 'invalid_argument', http: 413, retry: 'fix', close: 0 },
  MEDIA_TYPE: { code: 'invalid_argument', http: 415, retry: 'fix', close: 0 },
  FRAME_TOO_LARGE: { code: 'invalid_argument', http: 400, retry: 'fix', close: 4509 },
  TOKEN_INVALID: { code: 'unauthenticated', http: 401, retry: 'sign_in', close: 4501 },
  TOKEN_EXPIRED: { code: 'unauthenticated', http: 401, retry: 'sign_in', close: 4005 },
  SESSION_REVOKED: { code: 'unauthenticated', http: 401, retry: 'sign_in', close: 4502 },
  REFRESH_REUSED: { code: 'unauthenticated', http: 401, retry: 'sign_in', close: 0 },
  LOGIN_FAILED: { code: 'unauthenticated', http: 401, retry: 'fix', close: 0 },
  STEP_UP_REQUIRED: { code: 'unauthenticated', http: 401, retry: 'sign_in', close: 0 },
  NOT_A_MEMBER: { code: 'permission_denied', http: 403, retry: 'never', close: 0 },
  ROLE_REQUIRED: { code: 'permission_denied', http: 403, retry: 'never', close: 0 },
  SENDER_MISMATCH: { code: 'permission_denied', http: 403, retry: 'never', close: 0 },
  SCOPE_REQUIRED: { code: 'permission_denied', http: 403, retry: 'never', close: 0 },
  BLOCKED: { code: 'permission_denied', http: 403, retry: 'never', close: 0 },
  SIGNUP_CLOSED: { code: 'permission_denied', http: 403, retry: 'never', close: 0 },
  ACCOUNT_SUSPENDED: { code: 'permission_denied', http: 403, retry: 'never', close: 4504 },
  ORIGIN_DENIED: { code: 'permission_denied', http: 403, retry: 'never', close: 4508 },
  CONVERSATION_UNKNOWN: { code: 'not_found', http: 404, retry: 'never', close: 0 },
  USER_UNKNOWN: { code: 'not_found', http: 404, retry: 'never', close: 0 },
  MESSAGE_UNKNOWN: { code: 'not_found', http: 404, retry: 'never', close: 0 },
  MEDIA_UNKNOWN: { code: 'not_found', http: 404, retry: 'never', close: 0 },
  INVITE_UNKNOWN: { code: 'not_found', http: 404, retry: 'never', close: 0 },
  TOPIC_UNKNOWN: { code: 'not_found', http: 404, retry: 'never', close: 0 },
  DEVICE_UNKNOWN: { code: 'not_found', http: 404, retry: 'sign_in', close: 4503 },
  CONNECTION_UNKNOWN: { code: 'not_found', http: 404, retry: 'backoff', close: 0 },
  IDEMPOTENCY_CONFLICT: { code: 'already_exists', http: 409, retry: 'never', close: 0 },
  USERNAME_TAKEN: { code: 'already_exists', http: 409, retry: 'never', close: 0 },
  OUT_OF_ORDER: { code: 'failed_precondition', http: 400, retry: 'reread', close: 0 },
  GROUP_FULL: { code: 'failed_precondition', http: 400, retry: 'never', close: 0 },
  LAST_OWNER: { code: 'failed_precondition', http: 400, retry: 'never', close: 0 },
  CONVERSATION_CLOSED: { code: 'failed_precondition', http: 400, retry: 'never', close: 0 },
  TARGET_DELETED: { code: 'failed_precondition', http: 400, retry: 'never', close: 0 },
  EDIT_WINDOW_PASSED: { code: 'failed_precondition', http: 400, retry: 'never', close: 0 },
  MEDIA_NOT_READY: { code: 'failed_precondition', http: 400, retry: 'wait', close: 0 },
  INVITE_EXPIRED: { code: 'failed_precondition', http: 400, retry: 'never', close: 0 },
  ENCRYPTION_MISMATCH: { code: 'failed_precondition', http: 400, retry: 'reread', close: 0 },
  ENCRYPTED_NO_SEARCH: { code: 'failed_precondition', http: 400, retry: 'never', close: 0 },
  CLIENT_TOO_OLD: { code: 'failed_precondition', http: 400, retry: 'never', close: 4507 },
  VERSION_CONFLICT: { code: 'aborted', http: 412, retry: 'reread', close: 0 },
  MLS_EPOCH_CONFLICT: { code: 'aborted', http: 409, retry: 'reread', close: 0 },
  STALE_MLS_EPOCH: { code: 'aborted', http: 409, retry: 'reread', close: 0 },
  IDEMPOTENCY_IN_PROGRESS: { code: 'aborted', http: 409, retry: 'wait', close: 0 },
  FENCED: { code: 'aborted', http: 409, retry: 'reread', close: 0 },
  CURSOR_TRUNCATED: { code: 'out_of_range', http: 400, retry: 'reread', close: 0 },
  TOO_OLD: { code: 'out_of_range', http: 400, retry: 'never', close: 0 },
  RATE_LIMITED: { code: 'resource_exhausted', http: 429, retry: 'wait', close: 4008 },
  IN_FLIGHT_EXCEEDED: { code: 'resource_exhausted', http: 429, retry: 'wait', close: 0 },
  SLOW_MODE: { code: 'resource_exhausted', http: 429, retry: 'wait', close: 0 },
  QUOTA_EXCEEDED: { code: 'resource_exhausted', http: 429, retry: 'never', close: 0 },
  TOO_MANY_CONNECTIONS: { code: 'resource_exhausted', http: 429, retry: 'wait', close: 4009 },
  KEYS_EXHAUSTED: { code: 'resource_exhausted', http: 429, retry: 'wait', close: 0 },
  OVERLOADED: { code: 'unavailable', http: 503, retry: 'wait', close: 4004 },
  DRAINING: { code: 'unavailable', http: 503, retry: 'backoff', close: 4001 },
  SLOW_CONSUMER: { code: 'unavailable', http: 503, retry: 'backoff', close: 4002 },
  SHARD_UNAVAILABLE: { code: 'unavailable', http: 503, retry: 'backoff', close: 0 },
  BACKEND_UNAVAILABLE: { code: 'unavailable', http: 503, retry: 'backoff', close: 0 },
  COMMIT_UNKNOWN: { code: 'unavailable', http: 503, retry: 'backoff', close: 0 },
  NOT_LEADER: { code: 'unavailable', http: 503, retry: 'backoff', close: 0 },
  MOVED: { code: 'unavailable', http: 503, retry: 'backoff', close: 0 },
  DEADLINE: { code: 'deadline_exceeded', http: 504, retry: 'backoff', close: 0 },
  PING_TIMEOUT: { code: 'deadline_exceeded', http: 504, retry: 'backoff', close: 4003 },
  HELLO_TIMEOUT: { code: 'deadline_exceeded', http: 504, retry: 'backoff', close: 4007 },
  CANCELED: { code: 'canceled', http: 499, retry: 'never', close: 0 },
  REPLACED: { code: 'canceled', http: 499, retry: 'never', close: 4505 },
  FEATURE_DISABLED: { code: 'unimplemented', http: 501, retry: 'never', close: 0 },
  PROTOCOL_UNSUPPORTED: { code: 'unimplemented', http: 501, retry: 'never', close: 4506 },
  INVARIANT: { code: 'internal', http: 500, retry: 'backoff', close: 4000 },
  CORRUPT_ENTRY: { code: 'data_loss', http: 500, retry: 'never', close: 0 },
};
