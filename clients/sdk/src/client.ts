/** createClient: puts the parts together (CLIENT §1). */
import type { Client, ClientOptions } from './client-interface.ts';
import { featureDisabled } from './errors.ts';

export function createClient(options: ClientOptions): Client {
  throw featureDisabled(`a client of ${options.url}`);
}
