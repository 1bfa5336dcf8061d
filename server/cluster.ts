/**
 * Who this cluster is: its id, the epoch of its logs and the key of its payload hashes. Made once, at
 * the first start, and kept sealed under the key-encryption key beside the data; the logs' own first
 * entries hold the same.
 *
 *   JSON {version, clusterId, epoch, shards, sealed}: ids are hex, `sealed` the wrapped hash key in base64
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Random } from '../core/clock.ts';
import { ParleyError } from '../core/errors.ts';
import { hex } from '../core/bytes.ts';
import { newRawId } from '../core/ids.ts';
import { createFirst } from '../storage-engine/first-file.ts';
import type { SecretWrap } from './key-wrap.ts';

const FILE = 'cluster.json';
const VERSION = 1;
const HASH_KEY_BYTES = 32;

export interface Cluster {
  readonly clusterId: Uint8Array;
  /** Unix second in which its logs began. */
  readonly epoch: number;
  readonly hashKey: Uint8Array;
  /** Fixed at creation: by it an id's slot finds its shard, so another number would find nothing. */
  readonly shards: number;
}

export interface ClusterParts {
  readonly dataDir: string;
  readonly isNew: boolean;
  /** How many shards a new data directory gets. */
  readonly shards: number;
  readonly wrap: SecretWrap;
  readonly clock: Clock;
  readonly random: Random;
}

/** Reads it, or makes it in a new data directory. */
export function openCluster(parts: ClusterParts): Cluster {
  const path = join(parts.dataDir, FILE);
  if (existsSync(path)) return read(path, parts.wrap);
  if (!parts.isNew)
    throw new ParleyError(
      'CORRUPT_ENTRY',
      `${path} is missing from a data directory that was used; restore it from a backup`,
    );
  const now = parts.clock.nowMs();
  const cluster = {
    clusterId: newRawId(now, (count) => parts.random.bytes(count)),
    epoch: Math.floor(now / 1000),
    hashKey: parts.random.bytes(HASH_KEY_BYTES),
    shards: parts.shards,
  };
  // Of several first starts at once (behind the lock of another container's) all get the first's.
  return create(path, cluster, parts.wrap) ? cluster : read(path, parts.wrap);
}

function read(path: string, wrap: SecretWrap): Cluster {
  const damaged = (cause?: unknown): ParleyError =>
    new ParleyError('CORRUPT_ENTRY', `${path} is damaged; restore it from a backup`, {}, { cause });
  let file: unknown;
  try {
    file = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw damaged(cause);
  }
  if (
    typeof file !== 'object' ||
    file === null ||
    !('clusterId' in file) ||
    !('epoch' in file) ||
    !('shards' in file) ||
    !('sealed' in file)
  )
    throw damaged();
  const { clusterId, epoch, shards, sealed } = file;
  if (
    typeof clusterId !== 'string' ||
    typeof epoch !== 'number' ||
    typeof shards !== 'number' ||
    typeof sealed !== 'string' ||
    !/^[0-9a-f]{32}$/.test(clusterId)
  )
    throw damaged();
  return {
    clusterId: Uint8Array.from(Buffer.from(clusterId, 'hex')),
    epoch,
    hashKey: unwrapped(path, sealed, wrap),
    shards,
  };
}

function unwrapped(path: string, sealed: string, wrap: SecretWrap): Uint8Array {
  try {
    return wrap.unwrap(Buffer.from(sealed, 'base64'));
  } catch (cause) {
    throw new ParleyError(
      'CORRUPT_ENTRY',
      `the key file is not the one that this data directory was encrypted with (${path} was sealed by another); put the right one back, or point PARLEY_KEY_FILE at it`,
      {},
      { cause },
    );
  }
}

function create(path: string, cluster: Cluster, wrap: SecretWrap): boolean {
  const sealed = Buffer.from(wrap.wrap(cluster.hashKey)).toString('base64');
  const { epoch, shards } = cluster;
  const clusterId = hex(cluster.clusterId);
  const text = `${JSON.stringify({ version: VERSION, clusterId, epoch, shards, sealed })}\n`;
  return createFirst(path, text);
}
