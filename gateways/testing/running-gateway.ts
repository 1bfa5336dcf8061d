/** For tests: a gateway with a tiny broker and tiny accounts behind it. */
import type { Clock } from '../../core/clock.ts';
import { SILENT } from '../../core/observe.ts';
import { ClientAddresses } from '../client-addresses.ts';
import { Gateway } from '../gateway.ts';
import { Origins } from '../origins.ts';
import { DEFAULT_LIMITS, type SessionLimits } from '../session/limits.ts';
import { REAL_CLOCK, REAL_RANDOM, REAL_TIMERS } from './real-time.ts';
import { TinyBroker } from './tiny-broker.ts';
import { TINY_EPOCH, TINY_SHARDS } from './tiny-views.ts';
import { TinyIdentity } from './tiny-identity.ts';

export interface RunningGateway {
  readonly gateway: Gateway;
  readonly broker: TinyBroker;
  readonly identity: TinyIdentity;
  readonly origins: Origins;
  /** Tests come through a proxy on this machine, if they say so. */
  readonly addresses: ClientAddresses;
}

export const ALLOWED_ORIGIN = 'https://app.example.org';

export function runGateway(
  limits: Partial<SessionLimits> = {},
  clock: Clock = REAL_CLOCK,
): RunningGateway {
  const broker = new TinyBroker();
  const identity = new TinyIdentity();
  const origins = new Origins({ allowed: [ALLOWED_ORIGIN], httpPort: () => 8080 });
  const gateway = new Gateway({
    connectStore: () => broker.connect(),
    identity,
    verifier: identity,
    clock,
    timers: REAL_TIMERS,
    random: REAL_RANDOM,
    log: SILENT,
    epoch: TINY_EPOCH,
    shardCount: TINY_SHARDS,
    hashKey: new Uint8Array(32).fill(7),
    limits: { ...DEFAULT_LIMITS, ...limits },
    featureLevel: 1,
    features: [],
    origins,
  });
  gateway.start();
  const addresses = new ClientAddresses(['127.0.0.1']);
  return { gateway, broker, identity, origins, addresses };
}
