/**
 * For tests: a session driven by hand. Each call says what happens and returns what the session asks
 * for; routines stop at their asks until an answer is given.
 */
import { ParleyError } from '../../core/errors.ts';
import { encodeId, newRawId } from '../../core/ids.ts';
import { codecOf } from '../../proto/codec.ts';
import { ClientFrameSchema } from '../../proto/gen/parley/client/v1/session_pb.ts';
import { ContentSchema } from '../../proto/gen/parley/v1/content_pb.ts';
import { methodNamed, refusalOf } from '../methods.ts';
import type { Caller, Commit } from '../session/caller.ts';
import { DEFAULT_LIMITS, type SessionLimits } from '../session/limits.ts';
import type { Ask, Routine } from '../session/routine.ts';
import { Session } from '../session/session.ts';
import type {
  ClientFrame,
  Effect,
  RowEvent,
  ServerFrame,
  Surroundings,
} from '../session/session-contract.ts';
import { encodeSyncToken } from '../session/sync-token.ts';

const clientFrames = codecOf(ClientFrameSchema);
const contents = codecOf(ContentSchema);
export const SCRIPT_EPOCH = 1_700_000_000;
const WALL_MS = 1_800_000_000_000;

export function callerOf(user: Uint8Array = newRawId(1), lifeMs: number = 600_000): Caller {
  const [device, session] = [newRawId(2), newRawId(3)];
  return {
    user,
    device,
    session,
    userId: encodeId('usr', user),
    deviceId: encodeId('dev', device),
    sessionId: encodeId('ses', session),
    scopes: [],
    expiresAtMs: WALL_MS + lifeMs,
  };
}

/** A routine that waits for answers. */
export interface Running {
  readonly asks: readonly Ask[];
  answer(...answers: readonly unknown[]): void;
  refuse(error: ParleyError): void;
}

export class ScriptedSession {
  readonly session: Session;
  readonly caller: Caller;
  readonly frames: ServerFrame[] = [];
  readonly effects: Effect[] = [];
  readonly running: Running[] = [];
  readonly positions: number[] = [0, 0, 0, 0];
  readonly large: Set<string> = new Set();
  readonly seen: Map<string, number> = new Map();
  nowMs: number = 1000;
  wallMs: number = WALL_MS;
  #lastId = 0;

  constructor(limits: Partial<SessionLimits> = {}, caller: Caller = callerOf()) {
    this.caller = caller;
    const surroundings: Surroundings = {
      limits: { ...DEFAULT_LIMITS, ...limits },
      featureLevel: 1,
      features: [],
      shardCount: 4,
      epoch: () => SCRIPT_EPOCH,
      wallMs: () => this.wallMs,
      feedPositions: () => this.positions,
      contentBytes: (content) => contents.encode(content),
      payloadHash: () => new Uint8Array(16).fill(9),
      newUuid: () => newRawId(4),
      readRequest: (method, request) => {
        try {
          return methodNamed(method).input.fromJson(request ?? {});
        } catch (error) {
          throw refusalOf(error);
        }
      },
      isLargeGroup: (raw) => this.large.has(encodeId('cnv', raw)),
      lastSeenMs: (raw) => this.seen.get(encodeId('cnv', raw)) ?? 0,
    };
    this.session = new Session({ surroundings, connectionId: 'con_test', nowMs: this.nowMs });
  }

  /** Hello, accepted. Further frames of the start are forgotten. */
  live(hello: object = {}): this {
    this.frame({ id: 1, hello: { token: 't', ...hello } });
    this.verified(this.caller);
    return this;
  }

  verified(outcome: Caller | ParleyError): void {
    const effect = this.take('verify');
    effect.done(outcome, this.nowMs);
    this.#collect();
  }

  /** A frame in the contract's JSON. */
  frame(json: object): void {
    let frame: ClientFrame;
    try {
      frame = clientFrames.fromJson(json);
    } catch (error) {
      const { id = 0 } = json as { id?: number };
      this.session.unreadable(refusalOf(error), id, this.nowMs);
      this.#collect();
      return;
    }
    this.session.frame(frame, this.nowMs);
    this.#collect();
  }

  /** The frame with an id of its own; its reply, if it came at once. */
  ask(json: object): ServerFrame | undefined {
    const id = ++this.#lastId + 100;
    this.frame({ id, ...json });
    return this.reply(id);
  }

  reply(id: number): ServerFrame | undefined {
    const result = this.effects.find((effect) => effect.is === 'result' && effect.id === id);
    if (result !== undefined) return { id, result: {} };
    return this.frames.find((frame) => frame.id === id);
  }

  /** What the frames so far are. */
  get kinds(): string[] {
    return this.frames.map((frame) => Object.keys(frame).find((key) => key !== 'id') ?? '');
  }

  /** A token that this user may resume with. */
  resumeToken(over: { timeMs?: number; epoch?: number } = {}): string {
    const position = { accountSequence: 3, indexes: [5, 0, 7, 0] };
    return encodeSyncToken(
      { epoch: SCRIPT_EPOCH, timeMs: this.wallMs, position, ...over },
      this.caller.user,
    );
  }

  get lastId(): number {
    return this.#lastId + 100;
  }

  pass(ms: number): void {
    const end = this.nowMs + ms;
    while (this.session.wakeAtMs <= end && !this.session.isClosed) {
      const before = this.nowMs;
      this.nowMs = Math.max(before, this.session.wakeAtMs);
      this.session.tick(this.nowMs);
      this.#collect();
      if (this.session.wakeAtMs <= this.nowMs) this.nowMs++;
    }
    this.nowMs = end;
    this.wallMs += ms;
  }

  /** Does something to the session and collects what follows. */
  do<T>(what: (session: Session) => T): T {
    const result = what(this.session);
    this.#collect();
    return result;
  }

  /** Takes the oldest effect of a kind out. */
  take<K extends Effect['is']>(kind: K): Extract<Effect, { is: K }> {
    const at = this.effects.findIndex((effect) => effect.is === kind);
    const [effect] = at < 0 ? [] : this.effects.splice(at, 1);
    if (effect === undefined || effect.is !== kind)
      throw new ParleyError('INVARIANT', `no ${kind} was asked for`);
    return effect as Extract<Effect, { is: K }>;
  }

  count(kind: Effect['is']): number {
    return this.effects.filter((effect) => effect.is === kind).length;
  }

  /** Answers the oldest send that was proposed. */
  commit(outcome: Partial<Commit> | ParleyError): void {
    const effect = this.take('send');
    const whole =
      outcome instanceof ParleyError
        ? outcome
        : { sequence: 1, timeMs: WALL_MS, queued: 0, replayed: false, ...outcome };
    effect.done(whole, this.nowMs);
    this.#collect();
  }

  knowUsers(unknown: readonly Uint8Array[] | ParleyError = []): void {
    const effect = this.take('unknown-users');
    effect.done(unknown, this.nowMs);
    this.#collect();
  }

  get closed(): number {
    const effect = this.effects.find((one) => one.is === 'close');
    return effect?.is === 'close' ? effect.code : 0;
  }

  #collect(): void {
    for (let effects = this.session.takeEffects(); effects.length > 0; ) {
      for (const effect of effects) {
        if (effect.is === 'frame') this.frames.push(effect.frame);
        else if (effect.is === 'run') this.#start(effect);
        else this.effects.push(effect);
      }
      effects = this.session.takeEffects();
    }
  }

  #start(effect: Extract<Effect, { is: 'run' }>): void {
    const step = (
      move: (routine: Routine<unknown>) => IteratorResult<readonly Ask[], unknown>,
    ): void => {
      let next: IteratorResult<readonly Ask[], unknown>;
      try {
        next = move(effect.routine);
      } catch (error) {
        effect.done(error as ParleyError, this.nowMs);
        this.#collect();
        return;
      }
      if (next.done === true) effect.done(next.value, this.nowMs);
      else
        this.running.push({
          asks: next.value,
          answer: (...answers) => {
            this.running.shift();
            step((routine) => routine.next(answers));
          },
          refuse: (error) => {
            this.running.shift();
            step((routine) => routine.throw(error));
          },
        });
      this.#collect();
    };
    step((routine) => routine.next([]));
  }
}

export function rowEvent(over: Partial<RowEvent> & { readonly conversationId: string }): RowEvent {
  return {
    epoch: SCRIPT_EPOCH,
    head: over.sequence ?? 1,
    sequence: 1,
    isLargeGroup: false,
    device: new Uint8Array(16),
    outbox: new Uint8Array(16),
    clientMessageId: new Uint8Array(16),
    ...over,
  };
}
