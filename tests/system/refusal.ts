/** For tests: what a call is refused with. */
import assert from 'node:assert/strict';
import { ParleyError, type Reason } from '../../core/errors.ts';

export async function refusal(promise: Promise<unknown>): Promise<ParleyError> {
  const thrown = await promise.then(
    () => assert.fail('it was accepted'),
    (cause: unknown) => cause,
  );
  assert.ok(thrown instanceof ParleyError, String(thrown));
  return thrown;
}

export async function refused(promise: Promise<unknown>, reason: Reason): Promise<void> {
  assert.equal((await refusal(promise)).reason, reason);
}
