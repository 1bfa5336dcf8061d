/** Profiles: who somebody is, as oneself and as others see it; search; the status kept with it (R126). */
import type { Clock } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import type { UserId } from '../../core/ids.ts';
import type {
  Caller,
  LastSeenPrivacy,
  ReadsPrivacy,
  SearchUsersRequest,
  Status,
  User,
  UserPatch,
  UserStatus,
} from './contract.ts';
import { idOf, userIdOf } from './new-ids.ts';
import type { AccountRow, AccountStore, ProfileFields } from './ports.ts';
import { checkName, checkUrl, checkUsername, foldName } from './text-rules.ts';

const USERS_MAX = 200;
const SEARCH_MAX = 50;
const QUERY_CODE_POINTS_MAX = 100;
/** A change without If-Match redoes itself when another came between, this often. */
const ATTEMPTS_MAX = 5;

const STATUSES: readonly UserStatus[] = ['online', 'away', 'busy', 'invisible'];
const READS: readonly ReadsPrivacy[] = ['all', 'none'];
const LAST_SEEN: readonly LastSeenPrivacy[] = ['all', 'contacts', 'none'];

export class Profiles {
  readonly #store: AccountStore;
  readonly #clock: Clock;

  constructor(store: AccountStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  async get(caller: Caller, userId: string): Promise<User> {
    return userOf(await this.#row(caller, userId), caller.userId);
  }

  async getMany(caller: Caller, userIds: readonly string[]): Promise<readonly User[]> {
    if (userIds.length > USERS_MAX)
      throw new ParleyError('BAD_FIELD', `at most ${USERS_MAX} ids at once`, { field: 'ids' });
    const ids = userIds.map((id) => userIdOf(id, 'ids'));
    const rows = await this.#store.findAccounts([...new Set(ids)]);
    return rows.map((row) => userOf(row, caller.userId));
  }

  /** An empty query finds nobody: the list of all users is not for everybody. */
  async search(caller: Caller, request: SearchUsersRequest): Promise<readonly User[]> {
    const query = checkName(request.query, 'query').slice(0, QUERY_CODE_POINTS_MAX);
    const folded = foldName(query.replace(/^@/, ''));
    const limit = Math.min(SEARCH_MAX, Math.max(1, Math.trunc(request.pageSize ?? SEARCH_MAX)));
    if (folded === '') return [];
    const rows = await this.#store.searchAccounts(folded, limit);
    return rows.map((row) => userOf(row, caller.userId));
  }

  async updateMe(caller: Caller, patch: UserPatch, ifMatch: string | undefined): Promise<User> {
    return userOf(await this.#change(caller, patch, ifMatch), caller.userId);
  }

  async getStatus(caller: Caller, userId: string): Promise<Status> {
    return statusOf(await this.#row(caller, userId), caller.userId);
  }

  async setStatus(
    caller: Caller,
    request: { readonly status?: string; readonly statusText?: string },
  ): Promise<Status> {
    const patch: UserPatch = {
      ...(request.status === undefined ? {} : { status: statusFrom(request.status) }),
      ...(request.statusText === undefined ? {} : { statusText: request.statusText }),
    };
    return statusOf(await this.#change(caller, patch, undefined), caller.userId);
  }

  async #change(
    caller: Caller,
    patch: UserPatch,
    ifMatch: string | undefined,
  ): Promise<AccountRow> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const row = await this.#row(caller, 'me');
      if (ifMatch !== undefined && ifMatch !== etagOf(row)) break;
      const { userId, version } = row;
      const fields = patched(row, patch);
      const timeMs = this.#clock.nowMs();
      const written = await this.#store.updateProfile({ userId, version, fields, timeMs });
      if (written === 'taken')
        throw new ParleyError('USERNAME_TAKEN', 'this user name belongs to somebody else');
      if (written !== 'stale') return written;
    }
    throw new ParleyError('VERSION_CONFLICT', 'the profile was changed meanwhile: read it again');
  }

  async #row(caller: Caller, id: string): Promise<AccountRow> {
    const userId: UserId = id === 'me' ? caller.userId : userIdOf(id, 'userId');
    const [row] = await this.#store.findAccounts([userId]);
    if (row === undefined) throw new ParleyError('USER_UNKNOWN', 'there is no user with this id');
    return row;
  }
}

/** As `viewer` may see it. LIMIT: without contact lists, `contacts` shows last seen to nobody. */
export function userOf(row: AccountRow, viewer: UserId): User {
  const isSelf = row.userId === viewer;
  const { lastSeenTimeMs } = row;
  const showsSeen = lastSeenTimeMs !== undefined && (isSelf || row.lastSeenPrivacy === 'all');
  const privacy = { reads: row.readsPrivacy, lastSeen: row.lastSeenPrivacy };
  return {
    userId: row.userId,
    kind: row.kind,
    username: row.username,
    displayName: row.displayName === '' ? row.username : row.displayName,
    ...(row.pictureMediaId === '' ? {} : { pictureMediaId: row.pictureMediaId }),
    ...(row.pictureUrl === '' ? {} : { pictureUrl: row.pictureUrl }),
    ...(row.statusText === '' ? {} : { statusText: row.statusText }),
    ...(showsSeen ? { lastSeenTimeMs } : {}),
    ...(isSelf ? { privacy } : {}),
    createTimeMs: row.createTimeMs,
    updateTimeMs: row.updateTimeMs,
    etag: etagOf(row),
  };
}

function statusOf(row: AccountRow, viewer: UserId): Status {
  const { userId, statusText, lastSeenTimeMs } = row;
  const isHidden = row.status === 'invisible' && userId !== viewer;
  const showsSeen =
    lastSeenTimeMs !== undefined && (userId === viewer || row.lastSeenPrivacy === 'all');
  return {
    userId,
    status: isHidden ? 'offline' : row.status,
    statusText,
    ...(showsSeen && !isHidden ? { lastSeenTimeMs } : {}),
  };
}

/** Keys present change, null clears. */
function patched(row: AccountRow, patch: UserPatch): ProfileFields {
  const privacy = patch.privacy === null ? { reads: null, lastSeen: null } : (patch.privacy ?? {});
  return {
    username: patch.username === undefined ? row.username : checkUsername(patch.username),
    displayName: changed(row.displayName, patch.displayName, (text) =>
      checkName(text, 'displayName'),
    ),
    pictureMediaId: changed(row.pictureMediaId, patch.pictureMediaId, (text) =>
      text === '' ? '' : idOf('med', text, 'pictureMediaId'),
    ),
    pictureUrl: changed(row.pictureUrl, patch.pictureUrl, (text) => checkUrl(text, 'pictureUrl')),
    statusText: changed(row.statusText, patch.statusText, (text) => checkName(text, 'statusText')),
    status: patch.status === undefined ? row.status : statusFrom(patch.status ?? 'online'),
    readsPrivacy: oneOf(READS, privacy.reads, row.readsPrivacy, 'privacy.reads'),
    lastSeenPrivacy: oneOf(LAST_SEEN, privacy.lastSeen, row.lastSeenPrivacy, 'privacy.lastSeen'),
  };
}

function changed(
  now: string,
  given: string | null | undefined,
  check: (text: string) => string,
): string {
  return given === undefined ? now : check(given ?? '');
}

function statusFrom(text: string): UserStatus {
  return oneOf(STATUSES, text, 'online', 'status');
}

/** Undefined keeps, null and '' give the first of the set, which is its default. */
function oneOf<T extends string>(
  set: readonly T[],
  given: string | null | undefined,
  kept: T,
  field: string,
): T {
  if (given === undefined) return kept;
  const found = given === null || given === '' ? set[0] : set.find((each) => each === given);
  if (found !== undefined) return found;
  throw new ParleyError('UNKNOWN_FIELD', `${field} is none of ${set.join(', ')}`, { path: field });
}

function etagOf(row: AccountRow): string {
  return `v${row.version}`;
}
