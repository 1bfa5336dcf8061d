/** Unary methods as promises: what REST and the seeds' names are made of. */
import { ParleyError } from '../../core/errors.ts';
import type { JsonObject } from '../../proto/json-value.ts';
import { methodNamed, refusalOf } from '../methods.ts';
import type { RoutineRunner } from '../routine-runner.ts';
import type { Caller } from '../session/caller.ts';
import { dispatch, dispatchPublic, type CallOutcome } from '../session/dispatcher.ts';
import { isIdentityMethod, type MethodName } from '../session/method-names.ts';
import type { Surroundings } from '../session/session-contract.ts';
import type { Fields } from './request-input.ts';

export interface CallResult {
  readonly json: JsonObject;
  /** It had been done before. */
  readonly replayed: boolean;
}

/** Who calls, and from where. */
export interface CallerContext {
  /** undefined for methods that need no token. */
  readonly caller: Caller | undefined;
  readonly address: string;
}

export class Calls {
  readonly #runner: RoutineRunner;
  readonly #surroundings: Surroundings;

  constructor(runner: RoutineRunner, surroundings: Surroundings) {
    this.#runner = runner;
    this.#surroundings = surroundings;
  }

  /** Refuses with every reason that the method can have. */
  async call(method: MethodName, fields: Fields, context: CallerContext): Promise<CallResult> {
    const { input, output } = methodNamed(method);
    let request: object;
    try {
      request = input.fromJson(fields);
    } catch (error) {
      throw refusalOf(error);
    }
    const { response, replayed } = await this.#run(method, request, context);
    // `toJson` reads protobuf bytes as well as plain objects.
    return { json: output.toJson(response as Uint8Array), replayed };
  }

  #run(method: MethodName, request: object, context: CallerContext): Promise<CallOutcome> {
    const { caller, address } = context;
    return new Promise((resolve, reject) => {
      const routine =
        caller === undefined && isIdentityMethod(method)
          ? dispatchPublic(method, request)
          : dispatch(method, request, required(caller), this.#surroundings);
      this.#runner.run(
        routine,
        (outcome) => {
          if (outcome instanceof ParleyError) reject(outcome);
          // The dispatcher's routines end with a CallOutcome.
          else resolve(outcome as CallOutcome);
        },
        { address, caller: caller?.userId ?? '' },
      );
    });
  }
}

function required(caller: Caller | undefined): Caller {
  if (caller === undefined) throw new ParleyError('TOKEN_INVALID', 'an access token is needed');
  return caller;
}
