/** Devices: installed clients of a user. An id is given back at a later sign-in, so it survives it. */
import type { Clock } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import type { DeviceId, UserId } from '../../core/ids.ts';
import type { Caller, Device, DeviceInput, DevicePatch } from './contract.ts';
import { deviceIdOf, newDeviceId } from './new-ids.ts';
import type { DeviceRow, DeviceStore } from './ports.ts';
import type { Sessions } from './sessions.ts';
import { checkName } from './text-rules.ts';

export class Devices {
  readonly #store: DeviceStore;
  readonly #sessions: Sessions;
  readonly #clock: Clock;

  constructor(store: DeviceStore, sessions: Sessions, clock: Clock) {
    this.#store = store;
    this.#sessions = sessions;
    this.#clock = clock;
  }

  /** The device that signs in: its own known one, else a new one. Another's id is no key to it. */
  async signIn(userId: UserId, input: DeviceInput): Promise<DeviceId> {
    const name = checkName(input.name ?? '', 'device.name');
    const platform = checkName(input.platform ?? '', 'device.platform');
    const known = await this.#known(userId, input.deviceId ?? '');
    if (known !== undefined) return known.deviceId;
    const nowMs = this.#clock.nowMs();
    const times = { createTimeMs: nowMs, updateTimeMs: nowMs, lastSeenTimeMs: undefined };
    const deviceId = newDeviceId(nowMs);
    await this.#store.insertDevice({ deviceId, userId, name, platform, ...times, version: 1 });
    return deviceId;
  }

  async list(caller: Caller): Promise<readonly Device[]> {
    const rows = await this.#store.listDevices(caller.userId);
    return rows.map(deviceOf);
  }

  async update(
    caller: Caller,
    id: string,
    patch: DevicePatch,
    ifMatch: string | undefined,
  ): Promise<Device> {
    const row = await this.#own(caller, id);
    if (ifMatch !== undefined && ifMatch !== etagOf(row.version)) throw conflict();
    const changed: DeviceRow = {
      ...row,
      name: patch.name === undefined ? row.name : checkName(patch.name ?? '', 'name'),
      platform:
        patch.platform === undefined ? row.platform : checkName(patch.platform ?? '', 'platform'),
      updateTimeMs: this.#clock.nowMs(),
      version: row.version + 1,
    };
    const written = await this.#store.updateDevice(changed, row.version);
    if (written === undefined) throw conflict();
    return deviceOf(written);
  }

  /** Sessions first: a device that is gone has no session that could still act. */
  async remove(caller: Caller, id: string): Promise<void> {
    const { deviceId } = await this.#own(caller, id);
    await this.#sessions.revoke({ userId: caller.userId, deviceId });
    await this.#store.removeDevice(caller.userId, deviceId);
  }

  async #known(userId: UserId, id: string): Promise<DeviceRow | undefined> {
    if (id === '') return undefined;
    return this.#store.findDevice(userId, deviceIdOf(id, 'device.deviceId'));
  }

  async #own(caller: Caller, id: string): Promise<DeviceRow> {
    const row = await this.#store.findDevice(caller.userId, deviceIdOf(id, 'deviceId'));
    if (row === undefined)
      throw new ParleyError('DEVICE_UNKNOWN', 'you have no device with this id');
    return row;
  }
}

function deviceOf(row: DeviceRow): Device {
  return {
    deviceId: row.deviceId,
    name: row.name,
    platform: row.platform,
    ...(row.lastSeenTimeMs === undefined ? {} : { lastSeenTimeMs: row.lastSeenTimeMs }),
    createTimeMs: row.createTimeMs,
    updateTimeMs: row.updateTimeMs,
    etag: etagOf(row.version),
  };
}

function etagOf(version: number): string {
  return `v${version}`;
}

function conflict(): ParleyError {
  return new ParleyError('VERSION_CONFLICT', 'the device was changed meanwhile: read it again');
}
