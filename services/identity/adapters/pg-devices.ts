/** Devices in PostgreSQL. */
import type { DeviceId, UserId } from '../../../core/ids.ts';
import type { DeviceRow, DeviceStore } from '../ports.ts';
import type { Database, Row, Statement } from './database.ts';
import { deviceIdIn, numberIn, optionalTimeIn, textIn, timeIn, userIdIn, uuidOf } from './rows.ts';

const COLUMNS = 'device_id, user_id, name, platform, created_at, updated_at, last_seen_at, version';

const INSERT: Statement = {
  name: 'devices_insert',
  text: `insert into devices (device_id, user_id, name, platform, created_at, updated_at, version)
    values ($1, $2, $3, $4, $5, $6, $7)`,
};
const FIND: Statement = {
  name: 'devices_find',
  text: `select ${COLUMNS} from devices where device_id = $1 and user_id = $2`,
  isRead: true,
};
const LIST: Statement = {
  name: 'devices_list',
  text: `select ${COLUMNS} from devices where user_id = $1
    order by last_seen_at desc nulls last, device_id limit 200`,
  isRead: true,
};
const UPDATE: Statement = {
  name: 'devices_update',
  text: `update devices set name = $4, platform = $5, updated_at = $6, version = version + 1
    where device_id = $1 and user_id = $2 and version = $3 returning ${COLUMNS}`,
};
const REMOVE: Statement = {
  name: 'devices_remove',
  text: 'delete from devices where device_id = $1 and user_id = $2 returning device_id',
};

export class PgDevices implements DeviceStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insertDevice(row: DeviceRow): Promise<void> {
    await this.#database.query(INSERT, [
      uuidOf('dev', row.deviceId),
      uuidOf('usr', row.userId),
      row.name,
      row.platform,
      new Date(row.createTimeMs),
      new Date(row.updateTimeMs),
      row.version,
    ]);
  }

  async findDevice(userId: UserId, deviceId: DeviceId): Promise<DeviceRow | undefined> {
    const ids = [uuidOf('dev', deviceId), uuidOf('usr', userId)];
    const [row] = await this.#database.query(FIND, ids);
    return row === undefined ? undefined : deviceOf(row);
  }

  async listDevices(userId: UserId): Promise<readonly DeviceRow[]> {
    const rows = await this.#database.query(LIST, [uuidOf('usr', userId)]);
    return rows.map(deviceOf);
  }

  async updateDevice(row: DeviceRow, version: number): Promise<DeviceRow | undefined> {
    const [written] = await this.#database.query(UPDATE, [
      uuidOf('dev', row.deviceId),
      uuidOf('usr', row.userId),
      version,
      row.name,
      row.platform,
      new Date(row.updateTimeMs),
    ]);
    return written === undefined ? undefined : deviceOf(written);
  }

  async removeDevice(userId: UserId, deviceId: DeviceId): Promise<boolean> {
    const ids = [uuidOf('dev', deviceId), uuidOf('usr', userId)];
    const rows = await this.#database.query(REMOVE, ids);
    return rows.length === 1;
  }
}

function deviceOf(row: Row): DeviceRow {
  return {
    deviceId: deviceIdIn(row),
    userId: userIdIn(row),
    name: textIn(row, 'name'),
    platform: textIn(row, 'platform'),
    createTimeMs: timeIn(row, 'created_at'),
    updateTimeMs: timeIn(row, 'updated_at'),
    lastSeenTimeMs: optionalTimeIn(row, 'last_seen_at'),
    version: numberIn(row, 'version'),
  };
}
