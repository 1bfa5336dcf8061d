/**
 * The account machine: one log per user in the user's slot, folded into directory pages. Pure, like
 * the conversation machine; the conversation log wins every disagreement, so folding is idempotent:
 * per conversation the highest sequence wins.
 */

/** A stored page of a user's directory (256 conversation ids) or its head. */
export interface DirectoryPage {
  readonly page: number;
  readonly value: Uint8Array;
}

export interface DirtyDirectoryPage extends DirectoryPage {
  readonly user: Uint8Array;
}

export type AccountApplied =
  | { readonly is: 'none' }
  | {
      readonly is: 'joined' | 'left';
      readonly user: Uint8Array;
      readonly conversation: Uint8Array;
      readonly sequence: number;
      readonly accountSequence: number;
    }
  | {
      readonly is: 'session-revoked';
      readonly user: Uint8Array;
      readonly session: Uint8Array;
      readonly accountSequence: number;
    };

export interface DirectoryView {
  readonly accountSequence: number;
  /** Raw ids of open memberships, one after another. */
  open(): Uint8Array;
  /** Raw ids that were left, respectively joined, after the given account sequence. */
  leftSince(accountSequence: number): Uint8Array;
  joinedSince(accountSequence: number): Uint8Array;
  /** Raw session ids revoked so far (newest 64). */
  revokedSessions(): Uint8Array;
}

export interface AccountMachine {
  readonly residentCount: number;
  isResident(user: Uint8Array): boolean;
  load(user: Uint8Array, pages: readonly DirectoryPage[]): void;
  evict(user: Uint8Array): boolean;
  eachEvictable(each: (user: Uint8Array) => boolean): void;
  /** Keeps a resident user resident until `unpin`: `apply` does not unpin here. */
  pin(user: Uint8Array): void;
  unpin(user: Uint8Array): void;
  /** Applies an account command (accountMembership, accountSessionRevoked). */
  apply(index: number, command: Uint8Array): AccountApplied;
  view(user: Uint8Array): DirectoryView | undefined;
  takeDirty(): readonly DirtyDirectoryPage[];
  flushed(): void;
}
