/**
 * Slices of the configuration: what each room is handed, frozen and filled. Rooms declare the shape
 * they need themselves; these match by structure, so no room imports the server's.
 */
import type { Config, SignupMode } from './config-table.ts';

export interface IdentitySlice {
  readonly signup: SignupMode;
  readonly tokenIssuer: string;
  readonly accessTokenTtlMs: number;
  readonly refreshTtlMs: number;
  readonly refreshTotalTtlMs: number;
  readonly refreshGraceMs: number;
  readonly passwordQueueMax: number;
  readonly loginFailuresMax: number;
  readonly loginWindowMs: number;
}

export interface SessionSlice {
  readonly helloTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  readonly frameRate: number;
  readonly frameBurst: number;
  readonly requestRate: number;
  readonly inflightRequestsMax: number;
  readonly inflightSendsMax: number;
  readonly socketBufferSoftBytes: number;
  readonly socketBufferHardBytes: number;
  readonly connectionsMax: number;
  readonly groupHeadsMembersMin: number;
  readonly syncTokenTtlMs: number;
}

export function identitySlice(config: Config): IdentitySlice {
  return pick(config, [
    'signup',
    'tokenIssuer',
    'accessTokenTtlMs',
    'refreshTtlMs',
    'refreshTotalTtlMs',
    'refreshGraceMs',
    'passwordQueueMax',
    'loginFailuresMax',
    'loginWindowMs',
  ]);
}

export function sessionSlice(config: Config): SessionSlice {
  return pick(config, [
    'helloTimeoutMs',
    'pingIntervalMs',
    'pingTimeoutMs',
    'frameRate',
    'frameBurst',
    'requestRate',
    'inflightRequestsMax',
    'inflightSendsMax',
    'socketBufferSoftBytes',
    'socketBufferHardBytes',
    'connectionsMax',
    'groupHeadsMembersMin',
    'syncTokenTtlMs',
  ]);
}

/** A frozen copy of some settings: structured-clone safe, so that a worker thread can be given it. */
function pick<N extends keyof Config>(config: Config, names: readonly N[]): Pick<Config, N> {
  const slice: Partial<Pick<Config, N>> = {};
  for (const name of names) slice[name] = config[name];
  // Every name of N was copied above, which the type of Partial cannot say.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return Object.freeze(slice) as Pick<Config, N>;
}
