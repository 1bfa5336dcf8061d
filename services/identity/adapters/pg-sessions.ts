/** Sessions and their revocations in PostgreSQL. A revocation is its row; announcing it is another step. */
import type { SessionId, UserId } from '../../../core/ids.ts';
import type { Revocation } from '../contract.ts';
import type { ListedSession, RevokeMatch, Rotation, SessionRow, SessionStore } from '../ports.ts';
import type { Database, Row, Statement } from './database.ts';
import { deviceIdIn, numberIn, sessionIdIn, textIn, timeIn, userIdIn, uuidOf } from './rows.ts';

const COLUMNS = `session_id, user_id, device_id, refresh_count, rotated_at, refresh_expires_at,
  expires_at, created_at, last_seen_at, revoked_at`;

const INSERT: Statement = {
  name: 'sessions_insert',
  text: `insert into sessions (session_id, user_id, device_id, refresh_count, rotated_at,
    refresh_expires_at, expires_at, created_at, last_seen_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
};
const ROTATE: Statement = {
  name: 'sessions_rotate',
  text: `update sessions set refresh_count = refresh_count + 1, rotated_at = $3, last_seen_at = $3,
    refresh_expires_at = least($4, expires_at)
    where session_id = $1 and refresh_count = $2 and revoked_at is null
      and refresh_expires_at > $3 and expires_at > $3
    returning ${COLUMNS}`,
};
const FIND: Statement = {
  name: 'sessions_find',
  text: `select ${COLUMNS} from sessions where session_id = $1`,
  isRead: true,
};
const LIST: Statement = {
  name: 'sessions_list',
  text: `select s.session_id, s.user_id, s.device_id, s.refresh_count, s.rotated_at,
    s.refresh_expires_at, s.expires_at, s.created_at, s.last_seen_at, s.revoked_at,
    coalesce(d.name, '') as device_name, coalesce(d.platform, '') as platform
    from sessions s left join devices d on d.device_id = s.device_id
    where s.user_id = $1 and s.revoked_at is null and s.refresh_expires_at > $2 and s.expires_at > $2
    order by s.last_seen_at desc, s.session_id limit 200`,
  isRead: true,
};
const REVOKE: Statement = {
  name: 'sessions_revoke',
  text: `update sessions set revoked_at = $1
    where user_id = $2 and revoked_at is null
      and ($3::uuid is null or session_id = $3) and ($4::uuid is null or device_id = $4)
      and ($5::uuid is null or session_id <> $5)
    returning user_id, session_id, revoked_at`,
};
const PENDING: Statement = {
  name: 'sessions_pending',
  text: `select user_id, session_id, revoked_at from sessions
    where revoked_at is not null and announced_at is null order by revoked_at limit $1`,
  isRead: true,
};
const ANNOUNCED: Statement = {
  name: 'sessions_announced',
  text: `update sessions set announced_at = $2
    where session_id = any($1::uuid[]) and revoked_at is not null and announced_at is null`,
};
const REVOKED_SINCE: Statement = {
  name: 'sessions_revoked_since',
  text: 'select user_id, session_id, revoked_at from sessions where revoked_at >= $1',
  isRead: true,
};
const PRUNE: Statement = {
  name: 'sessions_prune',
  text: `delete from sessions where refresh_expires_at < $1
    and (revoked_at is null or announced_at is not null)`,
};

export class PgSessions implements SessionStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insertSession(row: SessionRow): Promise<void> {
    await this.#database.query(INSERT, [
      uuidOf('ses', row.sessionId),
      uuidOf('usr', row.userId),
      uuidOf('dev', row.deviceId),
      row.refreshCount,
      new Date(row.rotateTimeMs),
      new Date(row.refreshExpireTimeMs),
      new Date(row.expireTimeMs),
      new Date(row.createTimeMs),
      new Date(row.lastSeenTimeMs),
    ]);
  }

  async rotate(rotation: Rotation): Promise<SessionRow | undefined> {
    const { sessionId, refreshCount, timeMs, refreshTtlMs } = rotation;
    const [row] = await this.#database.query(ROTATE, [
      uuidOf('ses', sessionId),
      refreshCount,
      new Date(timeMs),
      new Date(timeMs + refreshTtlMs),
    ]);
    return row === undefined ? undefined : sessionOf(row);
  }

  async findSession(sessionId: SessionId): Promise<SessionRow | undefined> {
    const [row] = await this.#database.query(FIND, [uuidOf('ses', sessionId)]);
    return row === undefined ? undefined : sessionOf(row);
  }

  async listSessions(userId: UserId, timeMs: number): Promise<readonly ListedSession[]> {
    const rows = await this.#database.query(LIST, [uuidOf('usr', userId), new Date(timeMs)]);
    return rows.map((row) => ({
      ...sessionOf(row),
      deviceName: textIn(row, 'device_name'),
      platform: textIn(row, 'platform'),
    }));
  }

  async revoke(match: RevokeMatch, timeMs: number): Promise<readonly Revocation[]> {
    const { userId, sessionId, deviceId, exceptSessionId } = match;
    const rows = await this.#database.query(REVOKE, [
      new Date(timeMs),
      uuidOf('usr', userId),
      sessionId === undefined ? null : uuidOf('ses', sessionId),
      deviceId === undefined ? null : uuidOf('dev', deviceId),
      exceptSessionId === undefined ? null : uuidOf('ses', exceptSessionId),
    ]);
    return rows.map(revocationOf);
  }

  async pendingRevocations(limit: number): Promise<readonly Revocation[]> {
    const rows = await this.#database.query(PENDING, [limit]);
    return rows.map(revocationOf);
  }

  async markAnnounced(sessionIds: readonly SessionId[], timeMs: number): Promise<void> {
    if (sessionIds.length === 0) return;
    const ids = sessionIds.map((id) => uuidOf('ses', id));
    await this.#database.query(ANNOUNCED, [ids, new Date(timeMs)]);
  }

  async revokedSince(timeMs: number): Promise<readonly Revocation[]> {
    const rows = await this.#database.query(REVOKED_SINCE, [new Date(timeMs)]);
    return rows.map(revocationOf);
  }

  async prune(expiredBeforeMs: number): Promise<void> {
    await this.#database.query(PRUNE, [new Date(expiredBeforeMs)]);
  }
}

function sessionOf(row: Row): SessionRow {
  return {
    sessionId: sessionIdIn(row),
    userId: userIdIn(row),
    deviceId: deviceIdIn(row),
    refreshCount: numberIn(row, 'refresh_count'),
    rotateTimeMs: timeIn(row, 'rotated_at'),
    refreshExpireTimeMs: timeIn(row, 'refresh_expires_at'),
    expireTimeMs: timeIn(row, 'expires_at'),
    createTimeMs: timeIn(row, 'created_at'),
    lastSeenTimeMs: timeIn(row, 'last_seen_at'),
    isRevoked: row['revoked_at'] !== null,
  };
}

function revocationOf(row: Row): Revocation {
  return {
    userId: userIdIn(row),
    sessionId: sessionIdIn(row),
    timeMs: timeIn(row, 'revoked_at'),
  };
}
