/**
 * Which sequences an answer of List speaks for: it is dense, and a short page ends at an edge, unless
 * it was cut for its size.
 */
import type { ListMessagesAnswer, Sequence } from './contract.ts';

export interface PageRequest {
  readonly before?: Sequence;
  readonly after?: Sequence;
  readonly around?: Sequence;
  readonly atTimeMs?: number;
  readonly sequence?: Sequence;
  readonly limit?: number;
}

const LIMIT_DEFAULT = 50;

export function coversOf(
  request: PageRequest,
  answer: ListMessagesAnswer,
): { readonly from?: Sequence; readonly through?: Sequence } {
  const isShort = isAtEdge(request, answer);
  if (request.sequence !== undefined) return { from: request.sequence, through: request.sequence };
  if (request.before !== undefined) {
    const through = request.before - 1;
    return isShort ? { from: 1, through } : { through };
  }
  if (request.after !== undefined) {
    const from = request.after + 1;
    return isShort ? { from, through: answer.asOf ?? answer.head ?? from } : { from };
  }
  // Around a place either half may be short, so only what lies between its ends is sure.
  if (request.around !== undefined || request.atTimeMs !== undefined) return {};
  const through = answer.asOf ?? answer.head ?? 0;
  return isShort ? { from: 1, through } : { through };
}

/** Whether there is nothing beyond it, on the side that it was read towards. */
export function isAtEdge(request: PageRequest, answer: ListMessagesAnswer): boolean {
  const count = answer.messages?.length ?? 0;
  return answer.cut !== true && count < (request.limit ?? LIMIT_DEFAULT);
}
