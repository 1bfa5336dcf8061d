/** Accounts in PostgreSQL. */
import type { UserId } from '../../../core/ids.ts';
import type { Seen } from '../contract.ts';
import type { AccountRow, AccountStore, InsertOutcome, ProfileWrite } from '../ports.ts';
import { foldName } from '../text-rules.ts';
import { UniqueViolation, type Database, type Row, type Statement } from './database.ts';
import {
  idIn,
  numberIn,
  oneOfIn,
  optionalTimeIn,
  textIn,
  timeIn,
  userIdIn,
  uuidOf,
} from './rows.ts';

const COLUMNS = `user_id, username, password_hash, kind, display_name, picture_media_id,
  profile_pic_url, status, status_text, reads_privacy, last_seen_privacy, created_at, updated_at,
  last_seen_at, suspended_at, version`;

/** The words of `source` (user_id, search_text): what migration 2 says of all users. */
function wordsOf(source: string): string {
  return `select distinct s.user_id, substr(s.search_text, at, 100) collate "C" as word
    from ${source} s, generate_series(1, least(length(s.search_text), 200)) as at
    where at = 1
      or (strpos(' ._-''"()/,&+@', substr(s.search_text, at - 1, 1)) > 0
        and substr(s.search_text, at, 1) <> ' ')
      or substr(s.search_text, at, 1) collate "C" >= '\u2e80'`;
}

const INTO_USERS = `insert into users (user_id, username, password_hash, kind, display_name,
  search_text, picture_media_id, profile_pic_url, status, status_text, reads_privacy,
  last_seen_privacy, created_at, updated_at, version)`;
const USER_VALUES = '$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15';
const INSERT: Statement = {
  name: 'users_insert',
  text: `with made as (${INTO_USERS} values (${USER_VALUES})
      on conflict (username) do nothing returning user_id, search_text),
    words as (insert into user_words (user_id, word) ${wordsOf('made')})
    select user_id from made`,
};
/** A user name that is taken must be an error here: it takes the use of the code back with it. */
const INSERT_BY_CODE: Statement = {
  name: 'users_insert_by_code',
  text: `with code as (update signup_codes set uses_left = uses_left - 1
      where code_hash = $16 and uses_left > 0 returning code_hash),
    made as (${INTO_USERS} select ${USER_VALUES} from code returning user_id, search_text),
    words as (insert into user_words (user_id, word) ${wordsOf('made')})
    select user_id from made`,
};
const BY_USERNAME: Statement = {
  name: 'users_by_username',
  text: `select ${COLUMNS} from users where username = $1`,
  isRead: true,
};
const BY_ID: Statement = {
  name: 'users_by_id',
  text: `select ${COLUMNS} from users where user_id = any($1::uuid[]) order by username`,
  isRead: true,
};
/**
 * Two ranges of an index, each read from its beginning and no further than $3 rows: user names that
 * begin with what is searched for, then words of names that do.
 */
export const SEARCH: Statement = {
  name: 'users_search',
  text: `select ${COLUMNS} from users join (
      select user_id, min(place) as place from (
        (select user_id, 0 as place from users
          where username collate "C" >= $1 and username collate "C" < $2
          order by username collate "C" limit $3)
        union all
        (select user_id, 1 as place from user_words where word >= $1 and word < $2
          order by word limit $3)
      ) as found group by user_id
    ) as hits using (user_id)
    where suspended_at is null and kind <> 'guest'
    order by place, username collate "C" limit $4`,
  isRead: true,
};
const UPDATE: Statement = {
  name: 'users_update',
  text: `with changed as (update users set username = $3, display_name = $4, search_text = $5,
      picture_media_id = $6, profile_pic_url = $7, status = $8, status_text = $9,
      reads_privacy = $10, last_seen_privacy = $11, updated_at = $12, version = version + 1
      where user_id = $1 and version = $2 returning ${COLUMNS}, search_text),
    words as (${wordsOf('changed')}),
    added as (insert into user_words (user_id, word) select user_id, word from words
      on conflict do nothing),
    gone as (delete from user_words w using changed c where w.user_id = c.user_id
      and not exists (select 1 from words where words.word = w.word))
    select ${COLUMNS} from changed`,
};
const SET_PASSWORD: Statement = {
  name: 'users_set_password',
  text: `update users set password_hash = $2 where user_id = $1 and password_hash = $3
    returning user_id`,
};
const EXISTING: Statement = {
  name: 'users_existing',
  text: 'select user_id from users where user_id = any($1::uuid[])',
  isRead: true,
};
const SEEN_USERS: Statement = {
  name: 'users_seen',
  text: `update users u set last_seen_at = s.at
    from (select id, max(at) as at from unnest($1::uuid[], $2::timestamptz[]) as t (id, at) group by id) s
    where u.user_id = s.id and (u.last_seen_at is null or u.last_seen_at < s.at)`,
};
const SEEN_DEVICES: Statement = {
  name: 'devices_seen',
  text: `update devices d set last_seen_at = s.at
    from (select id, max(at) as at from unnest($1::uuid[], $2::timestamptz[]) as t (id, at) group by id) s
    where d.device_id = s.id and (d.last_seen_at is null or d.last_seen_at < s.at)`,
};
const INSERT_CODE: Statement = {
  name: 'signup_codes_insert',
  text: 'insert into signup_codes (code_hash, uses_left, created_at) values ($1, $2, $3)',
};

/** Everything that begins with a prefix lies, in byte order, below the prefix and this. */
const LAST_CHARACTER = '\u{10ffff}';
/** Entries of an index read for each user shown: a user has several words, and some users are hidden. */
const FOUND_PER_SHOWN = 8;

export class PgAccounts implements AccountStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insertAccount(row: AccountRow, codeHash: Uint8Array | undefined): Promise<InsertOutcome> {
    const values = [
      uuidOf('usr', row.userId),
      row.username,
      row.passwordHash,
      row.kind,
      row.displayName,
      searchText(row),
      mediaUuid(row.pictureMediaId),
      row.pictureUrl,
      row.status,
      row.statusText,
      row.readsPrivacy,
      row.lastSeenPrivacy,
      new Date(row.createTimeMs),
      new Date(row.updateTimeMs),
      row.version,
    ];
    if (codeHash === undefined) {
      const made = await this.#database.query(INSERT, values);
      return made.length === 1 ? 'made' : 'taken';
    }
    try {
      const made = await this.#database.query(INSERT_BY_CODE, [...values, codeHash]);
      return made.length === 1 ? 'made' : 'no_code';
    } catch (thrown) {
      if (thrown instanceof UniqueViolation) return 'taken';
      throw thrown;
    }
  }

  async findByUsername(username: string): Promise<AccountRow | undefined> {
    // U+0000 cannot be stored, so it cannot be found; PostgreSQL would refuse the parameter.
    if (username.includes('\0')) return undefined;
    const [row] = await this.#database.query(BY_USERNAME, [username]);
    return row === undefined ? undefined : accountOf(row);
  }

  async findAccounts(userIds: readonly UserId[]): Promise<readonly AccountRow[]> {
    if (userIds.length === 0) return [];
    const rows = await this.#database.query(BY_ID, [userIds.map((id) => uuidOf('usr', id))]);
    return rows.map(accountOf);
  }

  /** Who has a user name or a word of a name that begins so. `folded` is as `foldName` makes it. */
  async searchAccounts(folded: string, limit: number): Promise<readonly AccountRow[]> {
    const values = [folded, `${folded}${LAST_CHARACTER}`, limit * FOUND_PER_SHOWN, limit];
    const rows = await this.#database.query(SEARCH, values);
    return rows.map(accountOf);
  }

  async updateProfile(write: ProfileWrite): Promise<AccountRow | 'stale' | 'taken'> {
    const { fields } = write;
    try {
      const [row] = await this.#database.query(UPDATE, [
        uuidOf('usr', write.userId),
        write.version,
        fields.username,
        fields.displayName,
        searchText(fields),
        mediaUuid(fields.pictureMediaId),
        fields.pictureUrl,
        fields.status,
        fields.statusText,
        fields.readsPrivacy,
        fields.lastSeenPrivacy,
        new Date(write.timeMs),
      ]);
      return row === undefined ? 'stale' : accountOf(row);
    } catch (thrown) {
      if (thrown instanceof UniqueViolation) return 'taken';
      throw thrown;
    }
  }

  async setPasswordHash(
    userId: UserId,
    { replaced, passwordHash }: { readonly replaced: string; readonly passwordHash: string },
  ): Promise<boolean> {
    const values = [uuidOf('usr', userId), passwordHash, replaced];
    return (await this.#database.query(SET_PASSWORD, values)).length === 1;
  }

  async existing(userIds: readonly UserId[]): Promise<readonly UserId[]> {
    if (userIds.length === 0) return [];
    const rows = await this.#database.query(EXISTING, [userIds.map((id) => uuidOf('usr', id))]);
    return rows.map((row) => userIdIn(row));
  }

  async recordSeen(seen: readonly Seen[]): Promise<void> {
    if (seen.length === 0) return;
    const times = seen.map(({ timeMs }) => new Date(timeMs));
    const users = seen.map(({ userId }) => uuidOf('usr', userId));
    const devices = seen.map(({ deviceId }) => uuidOf('dev', deviceId));
    await this.#database.query(SEEN_USERS, [users, times]);
    await this.#database.query(SEEN_DEVICES, [devices, times]);
  }

  async insertSignupCode(codeHash: Uint8Array, uses: number, timeMs: number): Promise<void> {
    await this.#database.query(INSERT_CODE, [codeHash, uses, new Date(timeMs)]);
  }
}

function searchText(row: Pick<AccountRow, 'username' | 'displayName'>): string {
  return `${row.username} ${foldName(row.displayName)}`.trim();
}

function mediaUuid(mediaId: string): string | null {
  return mediaId === '' ? null : uuidOf('med', mediaId);
}

function accountOf(row: Row): AccountRow {
  return {
    userId: userIdIn(row),
    username: textIn(row, 'username'),
    passwordHash: textIn(row, 'password_hash'),
    kind: oneOfIn(row, 'kind', ['person', 'bot', 'guest', 'service']),
    displayName: textIn(row, 'display_name'),
    pictureMediaId: row['picture_media_id'] === null ? '' : idIn('med', row, 'picture_media_id'),
    pictureUrl: textIn(row, 'profile_pic_url'),
    status: oneOfIn(row, 'status', ['online', 'away', 'busy', 'invisible']),
    statusText: textIn(row, 'status_text'),
    readsPrivacy: oneOfIn(row, 'reads_privacy', ['all', 'none']),
    lastSeenPrivacy: oneOfIn(row, 'last_seen_privacy', ['all', 'contacts', 'none']),
    createTimeMs: timeIn(row, 'created_at'),
    updateTimeMs: timeIn(row, 'updated_at'),
    lastSeenTimeMs: optionalTimeIn(row, 'last_seen_at'),
    version: numberIn(row, 'version'),
    isSuspended: row['suspended_at'] !== null,
  };
}
