/**
 * The account machine: folds a user's account log into his directory. Pure, like the conversation
 * machine; the conversation log wins every disagreement, so whatever the courier repeats or sends
 * late changes nothing (DESIGN §4).
 */
import { hex } from '../../core/bytes.ts';
import { COMMAND_KIND } from '../../core/command.ts';
import { decodeCommand } from '../../core/command-codec.ts';
import { invariant } from '../../core/invariant.ts';
import type {
  AccountApplied,
  AccountMachine,
  DirectoryPage,
  DirectoryView,
  DirtyDirectoryPage,
} from './contract.ts';
import { Directory } from './directory.ts';

interface Account {
  readonly user: Uint8Array;
  readonly directory: Directory;
  pins: number;
  /** Pages changed since the last take; taken and not yet durable. */
  readonly changed: Set<number>;
  readonly taken: Set<number>;
}

export function createAccountMachine(): DirectoryMachine {
  return new DirectoryMachine();
}

export class DirectoryMachine implements AccountMachine {
  /** Least recently used first. */
  readonly #accounts: Map<string, Account> = new Map();
  readonly #changed: Set<Account> = new Set();
  readonly #taken: Set<Account> = new Set();

  get residentCount(): number {
    return this.#accounts.size;
  }

  isResident(user: Uint8Array): boolean {
    return this.#accounts.has(hex(user));
  }

  load(user: Uint8Array, pages: readonly DirectoryPage[]): void {
    const key = hex(user);
    // Two loads of the same user may race: what is resident is as new or newer.
    if (this.#accounts.has(key)) return;
    const account = {
      user: user.slice(),
      directory: Directory.of(pages),
      pins: 0,
      changed: new Set<number>(),
      taken: new Set<number>(),
    };
    this.#accounts.set(key, account);
  }

  evict(user: Uint8Array): boolean {
    const key = hex(user);
    const account = this.#accounts.get(key);
    if (account === undefined) return true;
    if (!isEvictable(account)) return false;
    this.#accounts.delete(key);
    return true;
  }

  eachEvictable(each: (user: Uint8Array) => boolean): void {
    for (const account of this.#accounts.values())
      if (isEvictable(account) && !each(account.user)) return;
  }

  pin(user: Uint8Array): void {
    this.#use(user).pins += 1;
  }

  unpin(user: Uint8Array): void {
    const account = this.#accounts.get(hex(user));
    if (account !== undefined && account.pins > 0) account.pins -= 1;
  }

  apply(index: number, bytes: Uint8Array): AccountApplied {
    const command = decodeCommand(bytes);
    const account = this.#use(command.key);
    const { directory } = account;
    const user = account.user.slice();
    if (command.kind === COMMAND_KIND.accountSessionRevoked) {
      if (!directory.revoke(command.session)) return { is: 'none' };
      this.#changedPage(account, 0);
      const session = command.session.slice();
      const { accountSequence } = directory;
      return { is: 'session-revoked', user, session, accountSequence };
    }
    invariant(command.kind === COMMAND_KIND.accountMembership, 'account.command-is-for-it', {
      kind: command.kind,
      index,
    });
    const { conversation, sequence, joined } = command;
    const page = directory.fold(conversation, sequence, joined);
    if (page === undefined) return { is: 'none' };
    this.#changedPage(account, 0);
    this.#changedPage(account, page);
    return {
      is: joined ? 'joined' : 'left',
      user,
      conversation: conversation.slice(),
      sequence,
      accountSequence: directory.accountSequence,
    };
  }

  view(user: Uint8Array): DirectoryView | undefined {
    return this.isResident(user) ? this.#use(user).directory : undefined;
  }

  takeDirty(): readonly DirtyDirectoryPage[] {
    const pages: DirtyDirectoryPage[] = [];
    for (const account of this.#changed) {
      for (const page of account.changed) {
        pages.push({ user: account.user, page, value: account.directory.encode(page) });
        account.taken.add(page);
      }
      account.changed.clear();
      this.#taken.add(account);
    }
    this.#changed.clear();
    return pages;
  }

  flushed(): void {
    for (const account of this.#taken) account.taken.clear();
    this.#taken.clear();
  }

  /** The resident account, which becomes the most recently used. */
  #use(user: Uint8Array): Account {
    const key = hex(user);
    const account = this.#accounts.get(key);
    invariant(account !== undefined, 'account.resident-when-used');
    this.#accounts.delete(key);
    this.#accounts.set(key, account);
    return account;
  }

  #changedPage(account: Account, page: number): void {
    account.changed.add(page);
    this.#changed.add(account);
  }
}

function isEvictable(account: Account): boolean {
  return account.pins === 0 && account.changed.size === 0 && account.taken.size === 0;
}
