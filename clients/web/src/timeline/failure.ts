/** What of a row the server did not take: the message itself, or the newest own change of it. */
import type { MessageRef, MessageRow } from '@parley/sdk';
import { sentenceOf } from '../text/reason-text.ts';

export interface Failure {
  readonly ref: MessageRef;
  readonly text: string;
  readonly retryable: boolean;
}

export function failureOf(row: MessageRow): Failure | undefined {
  return failed(row.pending, 'Not sent.') ?? failed(row.change, 'Not changed.');
}

function failed(ref: MessageRef | undefined, what: string): Failure | undefined {
  const state = ref?.state.get();
  if (ref === undefined || state?.is !== 'FAILED') return undefined;
  return { ref, text: `${what} ${sentenceOf(state.reason)}`, retryable: state.retryable };
}
