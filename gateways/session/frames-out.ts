/** Frames that a session writes: what of them is derived from tables stands here. */
import type { ParleyError } from '../../core/errors.ts';
import { BODY_CODE_POINTS_MAX, CONTENT_BYTES_MAX, FRAME_BYTES_MAX, RECONNECT } from './limits.ts';
import type { Caller } from './caller.ts';
import type { ServerFrame, Surroundings } from './session-contract.ts';

export function readyFrame(
  id: number,
  surroundings: Surroundings,
  caller: Caller,
  start: { readonly connectionId: string; readonly resumed: boolean },
): ServerFrame {
  return {
    id,
    ready: {
      ...start,
      featureLevel: surroundings.featureLevel,
      features: [...surroundings.features],
      serverTimeMs: surroundings.wallMs(),
      pingIntervalMs: surroundings.limits.pingIntervalMs,
      limits: limitsOf(surroundings),
      reconnect: RECONNECT,
      userId: caller.userId,
      deviceId: caller.deviceId,
      epoch: surroundings.epoch(),
    },
  };
}

export function limitsOf(surroundings: Surroundings): {
  readonly frameBytesMax: number;
  readonly contentBytesMax: number;
  readonly bodyCodePointsMax: number;
  readonly unansweredMax: number;
  readonly sendsInFlightMax: number;
  readonly framesPerSecond: number;
} {
  const { limits } = surroundings;
  return {
    frameBytesMax: FRAME_BYTES_MAX,
    contentBytesMax: CONTENT_BYTES_MAX,
    bodyCodePointsMax: BODY_CODE_POINTS_MAX,
    unansweredMax: limits.inflightRequestsMax,
    sendsInFlightMax: limits.inflightSendsMax,
    framesPerSecond: limits.frameRate,
  };
}

/** The refusal of a request. With `id` 0 it answers none and only tells. */
export function errorFrame(id: number, error: ParleyError): ServerFrame {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(error.details)) metadata[name] = String(value);
  return {
    id,
    error: {
      code: error.code,
      reason: error.reason,
      message: error.message,
      retryAfterMs: error.retryAfterMs ?? 0,
      metadata,
    },
  };
}
