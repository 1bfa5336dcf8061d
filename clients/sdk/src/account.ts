/**
 * Whose client this is: the account that the data of this device is of, the user as the server shows
 * it, and the device's id. Every credential must be of that account.
 */
import type { ClientOptions, Credential, CredentialWhy } from './client-interface.ts';
import type { DeviceId, Ready, User, UserId } from './contract.ts';
import { ClientError } from './errors.ts';
import type { OwnState } from './own-state.ts';
import { Cell } from './store.ts';

export class Account {
  readonly user: Cell<User> = new Cell<User>({ userId: '' });
  readonly #own: OwnState;
  readonly #options: Pick<ClientOptions, 'credential'>;
  #deviceId: DeviceId = '';

  constructor(own: OwnState, options: Pick<ClientOptions, 'credential'>) {
    this.#own = own;
    this.#options = options;
  }

  /** Empty until the first start knows. */
  get userId(): UserId {
    return this.#own.identity?.userId ?? '';
  }

  /** As the server last named it; empty until then. */
  get deviceId(): DeviceId {
    return this.#deviceId;
  }

  async credential(why: CredentialWhy): Promise<Credential> {
    const credential = await this.#options.credential(why);
    if (credential.userId !== this.userId)
      throw new ClientError('SENDER_MISMATCH', 'the credential is of another account');
    if (credential.deviceId !== undefined) this.#deviceId = credential.deviceId;
    return credential;
  }

  ready({ deviceId }: Ready): void {
    if (deviceId !== undefined) this.#deviceId = deviceId;
  }
}
