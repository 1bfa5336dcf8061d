/** What `npm run parley -- token …` and `… invite …` do, beside a running server or without one. */
import { readdirSync } from 'node:fs';
import { ParleyError } from '../core/errors.ts';
import { newSignupCode } from '../services/identity/accounts.ts';
import type { ServiceToken } from '../services/identity/contract.ts';
import { ServiceTokens } from '../services/identity/service-tokens.ts';
import { withStores } from './accounts.ts';
import type { Config } from './config-table.ts';
import { REAL_CLOCK } from './real-time.ts';

export async function createToken(
  config: Config,
  request: { readonly name: string; readonly scopes: readonly string[] },
): Promise<{ readonly token: string; readonly serviceToken: ServiceToken }> {
  return withTokens(config, (tokens) => tokens.create(request));
}

export async function listTokens(config: Config): Promise<readonly ServiceToken[]> {
  return withTokens(config, (tokens) => tokens.list());
}

export async function revokeToken(config: Config, tokenId: string): Promise<ServiceToken> {
  return withTokens(config, (tokens) => tokens.revoke(tokenId));
}

export async function createInvite(config: Config, uses: number): Promise<string> {
  refuseNewDirectory(config);
  return withStores(config, (stores) => newSignupCode(stores.accounts, REAL_CLOCK, uses));
}

async function withTokens<T>(
  config: Config,
  work: (tokens: ServiceTokens) => Promise<T>,
): Promise<T> {
  refuseNewDirectory(config);
  return withStores(config, (stores) => work(new ServiceTokens(stores.serviceTokens, REAL_CLOCK)));
}

/** A mistyped path must not become a second, empty installation. */
function refuseNewDirectory(config: Config): void {
  if (!config.postgresUrl.isEmpty()) return;
  try {
    if (readdirSync(config.dataDir).includes('postgres')) return;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EACCES')
      throw new ParleyError(
        'BAD_FIELD',
        `${config.dataDir} belongs to another account (EACCES): run this as the account that the server runs as, or as root`,
      );
  }
  throw new ParleyError(
    'BAD_FIELD',
    `${config.dataDir} is not the data directory of a server that has run: start the server once, or name its directory with --data-dir or PARLEY_DATA_DIR`,
  );
}
