/**
 * The one table of configuration: every setting with its unit, bounds, default and meaning. Flags,
 * environment variables, docs/CONFIG.md and start-up validation are all read off it (config.ts).
 * Nothing here means "unlimited" or "absent": every setting has a value once it is loaded.
 */
import { isAddressRange } from '../gateways/client-addresses.ts';
import type { Secret } from './secret.ts';

export type SignupMode = 'open' | 'invite' | 'closed';
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** All settings, filled and frozen. Names are the flags in camel case. */
export interface Config {
  readonly host: string;
  readonly httpPort: number;
  readonly wsPort: number;
  readonly grpcPort: number;
  readonly grpcHost: string;
  readonly publicUrl: string;
  readonly webSocketUrl: string;
  readonly allowedOrigins: readonly string[];
  readonly trustedProxies: readonly string[];
  readonly dataDir: string;
  readonly keyFile: string;
  readonly postgresUrl: Secret;
  readonly postgresPoolMax: number;
  readonly logLevel: LogLevel;
  readonly drainDeadlineMs: number;
  readonly shards: number;
  readonly walSegmentBytes: number;
  readonly walBytesMax: number;
  readonly walReserveBytes: number;
  readonly diskFreePercentMin: number;
  readonly flushIntervalMs: number;
  readonly flushBytesMax: number;
  readonly stateCacheBytes: number;
  readonly residentBytesMax: number;
  readonly uncommittedShardBytesMax: number;
  readonly uncommittedStoreBytesMax: number;
  readonly syncTokenTtlMs: number;
  readonly groupMembersMax: number;
  readonly groupHeadsMembersMin: number;
  readonly editWindowMs: number;
  readonly signup: SignupMode;
  readonly tokenIssuer: string;
  readonly accessTokenTtlMs: number;
  readonly refreshTtlMs: number;
  readonly refreshTotalTtlMs: number;
  readonly refreshGraceMs: number;
  readonly passwordMemoryKib: number;
  readonly passwordQueueMax: number;
  readonly loginFailuresMax: number;
  readonly loginWindowMs: number;
  readonly helloTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  readonly frameRate: number;
  readonly frameBurst: number;
  readonly requestRate: number;
  readonly inflightRequestsMax: number;
  readonly inflightSendsMax: number;
  readonly socketBufferSoftBytes: number;
  readonly socketBufferHardBytes: number;
  readonly connectionsMax: number;
}

interface EntryText {
  readonly unit: string;
  readonly doc: string;
  /** A running server takes a new value without a restart. */
  readonly reloadable: boolean;
}

export interface IntegerEntry extends EntryText {
  readonly type: 'integer';
  readonly default: number;
  readonly min: number;
  readonly max: number;
}
export interface ChoiceEntry<T extends string> extends EntryText {
  readonly type: 'choice';
  readonly default: T;
  readonly choices: readonly T[];
}
/** `path` is made absolute against the working directory; `text` is taken as it is. */
export interface TextEntry extends EntryText {
  readonly type: 'text' | 'path';
  readonly default: string;
  readonly pattern: RegExp;
}
export interface ListEntry extends EntryText {
  readonly type: 'list';
  readonly default: readonly string[];
  /** Judges one item. */
  readonly pattern: Pick<RegExp, 'test'>;
}
/** Also read from the file that `<NAME>_FILE` names. It has no flag: flags show in `ps`. */
export interface SecretEntry extends EntryText {
  readonly type: 'secret';
  readonly default: '';
  readonly pattern: RegExp;
}
export type ConfigEntry = IntegerEntry | ChoiceEntry<string> | TextEntry | ListEntry | SecretEntry;

type EntryOf<T> = T extends number
  ? IntegerEntry
  : T extends Secret
    ? SecretEntry
    : T extends readonly string[]
      ? ListEntry
      : string extends T
        ? TextEntry
        : T extends string
          ? ChoiceEntry<string>
          : never;

export type ConfigTable = { readonly [N in keyof Config]: EntryOf<Config[N]> };

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const ANY = /^.*$/s;
const URL_OR_EMPTY = /^$|^https?:\/\/[^\s]+$/;
const HOST = /^[A-Za-z0-9.:_-]+$/;

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly reloadable?: boolean;
}

function integer(value: number, unit: string, bounds: Bounds, doc: string): IntegerEntry {
  const { min, max, reloadable = false } = bounds;
  return { type: 'integer', default: value, unit, min, max, doc, reloadable };
}

function choice<T extends string>(choices: readonly [T, ...T[]], doc: string): ChoiceEntry<T> {
  return { type: 'choice', default: choices[0], unit: '', choices, doc, reloadable: false };
}

function text(value: string, pattern: RegExp, unit: string, doc: string): TextEntry {
  return { type: 'text', default: value, unit, pattern, doc, reloadable: false };
}

function path(value: string, doc: string): TextEntry {
  return { type: 'path', default: value, unit: 'path', pattern: ANY, doc, reloadable: false };
}

const PORT: Bounds = { min: 0, max: 65_535 };

/** Sections are for readers of docs/CONFIG.md; a section names its settings in order. */
export const CONFIG_TABLE: ConfigTable = {
  host: text(
    '127.0.0.1',
    HOST,
    'address',
    'Address that the HTTP and WebSocket ports listen on. The default is reachable from this machine only; 0.0.0.0 opens the server to the network (put TLS in front of it).',
  ),
  httpPort: integer(
    8080,
    'port',
    PORT,
    'Port for the web client, REST and `/v1/ws`. 0 takes any free port; the ready line names it.',
  ),
  wsPort: integer(
    0,
    'port',
    PORT,
    'Port of the faster WebSocket server, named to clients by `GET /v1/meta`. 0 takes any free port; give it a number when a firewall or proxy must know it.',
  ),
  grpcPort: integer(
    8081,
    'port',
    PORT,
    'Port of `broker.v1` for internal services. 0 takes any free port; the ready line names it.',
  ),
  grpcHost: text(
    '127.0.0.1',
    HOST,
    'address',
    'Address that the gRPC port listens on. It speaks cleartext and is meant for internal services: keep it off public networks.',
  ),
  publicUrl: text(
    '',
    URL_OR_EMPTY,
    'URL',
    'URL under which people reach this server when something stands in front of it, such as https://chat.example.org. Empty: the address and port it listens on.',
  ),
  webSocketUrl: text(
    '',
    /^$|^wss?:\/\/[^\s]+$/,
    'URL',
    'WebSocket URL that `GET /v1/meta` names when a proxy stands in front of PARLEY_WS_PORT. Empty: that port itself if PARLEY_PUBLIC_URL is empty too, else `/v1/ws` of the public URL.',
  ),
  allowedOrigins: {
    type: 'list',
    default: [],
    unit: 'origins',
    pattern: /^https?:\/\/[^\s/]+$/,
    reloadable: false,
    doc: 'Web origins besides the server’s own from which browsers may connect, separated by commas. Other origins get ORIGIN_DENIED.',
  },
  trustedProxies: {
    type: 'list',
    default: [],
    unit: 'addresses or CIDR ranges',
    pattern: { test: isAddressRange },
    reloadable: false,
    doc: 'Proxies in front of this server, as 10.0.0.0/8,fd00::1. Limits on those who are not signed in (PARLEY_REQUEST_RATE, PARLEY_LOGIN_FAILURES_MAX) count them by address: of a peer in this list the right-most address of `X-Forwarded-For` that is not in it, of any other peer its own, whatever it sends. A proxy must add to that header or replace it. Without its proxy in this list a server takes everybody behind it for one.',
  },
  dataDir: path(
    'data',
    'Directory that holds everything the server keeps. It is made when absent. One server at a time uses it.',
  ),
  keyFile: path(
    '',
    'File with the key that encrypts the data keys. Empty: the data directory’s name with `.key` added, beside it. It is made (mode 0600) with a new data directory: keep a copy elsewhere, for without it the data cannot be read; backups of the data directory do not hold it.',
  ),
  postgresUrl: {
    type: 'secret',
    default: '',
    unit: 'postgresql:// URL',
    pattern: /^$|^postgres(ql)?:\/\/.+$/s,
    reloadable: false,
    doc: 'PostgreSQL-compatible server for accounts, such as postgresql://parley:secret@db:5432/parley. Empty: an own PostgreSQL inside the data directory.',
  },
  postgresPoolMax: integer(
    4,
    'connections',
    { min: 1, max: 8 },
    'Connections to PostgreSQL that one process opens at most.',
  ),
  logLevel: choice(
    ['info', 'trace', 'debug', 'warn', 'error', 'fatal', 'silent'],
    'Least severe log line that is written. Lines never hold contents, tokens or passwords.',
  ),
  drainDeadlineMs: integer(
    8_000,
    'ms',
    { min: 500, max: 600_000 },
    'After SIGTERM: time for clients to move and for everything to be flushed before the process ends anyway (nothing acknowledged is lost then either).',
  ),
  shards: integer(
    16,
    'shards',
    { min: 1, max: 256 },
    'Shards of a new data directory. Fixed at creation: a later value is ignored, with a warning.',
  ),
  walSegmentBytes: integer(
    64 * MIB,
    'bytes',
    { min: MIB, max: GIB },
    'Size of one segment file of the write-ahead log, zeroed beforehand.',
  ),
  walBytesMax: integer(
    GIB,
    'bytes',
    { min: 16 * MIB, max: 1024 * GIB },
    'Flushed write-ahead log kept at most, to rebuild a damaged state store. It also ages out after 24 hours.',
  ),
  walReserveBytes: integer(
    256 * MIB,
    'bytes',
    { min: MIB, max: 16 * GIB },
    'File that is held in reserve and given up when the disk is full, so that the server can still shut down and trim.',
  ),
  diskFreePercentMin: integer(
    5,
    '%',
    { min: 1, max: 50 },
    'Free disk space below which messages, edits, new groups and members are refused; reading, deleting, marking and signing in go on.',
  ),
  flushIntervalMs: integer(
    15_000,
    'ms',
    { min: 10, max: 60_000 },
    'Time in which applied rows come into the state store, one shard after another. Acknowledged messages are in the write-ahead log before, whatever this says.',
  ),
  flushBytesMax: integer(
    256 * MIB,
    'bytes',
    { min: 64 * KIB, max: GIB },
    'Unflushed rows in memory beyond which shards are flushed before their time; sends are refused at twice as much.',
  ),
  stateCacheBytes: integer(
    64 * MIB,
    'bytes',
    { min: MIB, max: 1024 * GIB },
    'Cache of the state store (RocksDB blocks) per store.',
  ),
  residentBytesMax: integer(
    512 * MIB,
    'bytes',
    { min: 4 * MIB, max: 1024 * GIB },
    'Memory for headers of conversations kept resident per store, about 1 KiB each; taken as they are used.',
  ),
  uncommittedShardBytesMax: integer(
    16 * MIB,
    'bytes',
    { min: MIB, max: 256 * MIB },
    'Proposed and not yet committed bytes of one shard; above it senders get OVERLOADED.',
  ),
  uncommittedStoreBytesMax: integer(
    256 * MIB,
    'bytes',
    { min: MIB, max: 256 * MIB },
    'The same bound for all shards of a store: all of it may have to fit into one frame of the log.',
  ),
  syncTokenTtlMs: integer(
    30 * DAY,
    'ms',
    { min: MINUTE, max: 365 * DAY },
    'Age up to which a device may resume from its sync token; an older one lists everything anew.',
  ),
  groupMembersMax: integer(
    500,
    'members',
    { min: 2, max: 10_000 },
    'Members of a group at most; the next gets GROUP_FULL.',
  ),
  groupHeadsMembersMin: integer(
    100,
    'members',
    { min: 2, max: 10_000 },
    'From this size on, members that do not look at a group get its head instead of each message.',
  ),
  editWindowMs: integer(
    2 * DAY,
    'ms',
    { min: 0, max: 3650 * DAY },
    'Time after sending in which a message may be edited; later edits get EDIT_WINDOW_PASSED.',
  ),
  signup: choice(
    ['open', 'invite', 'closed'],
    'Who may make an account: everybody, holders of an invite code, or nobody.',
  ),
  tokenIssuer: text(
    'parley',
    /^[\x21-\x7e]{1,200}$/,
    '',
    'Issuer named in access tokens. Change it when several clusters share one set of clients.',
  ),
  accessTokenTtlMs: integer(
    10 * MINUTE,
    'ms',
    { min: 2_000, max: DAY },
    'Life of an access token. A connection ends with its token unless the client presents a fresh one. A shorter life than before holds for tokens that are out as well.',
  ),
  refreshTtlMs: integer(
    30 * DAY,
    'ms',
    { min: MINUTE, max: 365 * DAY },
    'Life of an unused refresh token: a device that stays away longer signs in anew.',
  ),
  refreshTotalTtlMs: integer(
    180 * DAY,
    'ms',
    { min: MINUTE, max: 3650 * DAY },
    'Life of a sign-in in all, however often it is refreshed.',
  ),
  refreshGraceMs: integer(
    10_000,
    'ms',
    { min: 0, max: 60_000 },
    'Time in which the previous refresh token still yields the same successor, for answers that got lost; after it, using an old one revokes the sign-in.',
  ),
  passwordMemoryKib: integer(
    19_456,
    'KiB',
    { min: 16, max: 1_048_576 },
    'Memory of one password hash (argon2id, two passes). Less makes stolen hashes cheaper to guess: lower it for tests and benchmarks only. Existing passwords go on working.',
  ),
  passwordQueueMax: integer(
    64,
    'requests',
    { min: 1, max: 10_000 },
    'Password checks waiting at most; beyond it sign-ins get OVERLOADED. One check takes about 15 ms of a core.',
  ),
  loginFailuresMax: integer(
    10,
    'attempts',
    { min: 1, max: 1_000 },
    'Failed sign-ins for one user name from one address (IPv6: one /64 network) within PARLEY_LOGIN_WINDOW_MS; further ones get RATE_LIMITED.',
  ),
  loginWindowMs: integer(
    15 * MINUTE,
    'ms',
    { min: 1_000, max: DAY },
    'Window in which failed sign-ins are counted.',
  ),
  helloTimeoutMs: integer(
    5_000,
    'ms',
    { min: 100, max: 60_000 },
    'Time for a new connection to say hello.',
  ),
  pingIntervalMs: integer(
    25_000,
    'ms',
    { min: 100, max: 300_000 },
    'Time between pings on a live connection.',
  ),
  pingTimeoutMs: integer(
    10_000,
    'ms',
    { min: 100, max: 300_000 },
    'Time for the pong before a connection counts as broken.',
  ),
  frameRate: integer(
    200,
    'frames/s',
    { min: 1, max: 1_000_000 },
    'Frames a second that one connection may send in the long run.',
  ),
  frameBurst: integer(
    1_000,
    'frames',
    { min: 1, max: 1_000_000 },
    'Frames that one connection may send at once.',
  ),
  requestRate: integer(
    600,
    'requests/min',
    { min: 1, max: 10_000_000 },
    'HTTP requests a minute that one user may make, or one address (IPv6: one /64 network) before anybody is signed in; the next gets RATE_LIMITED.',
  ),
  inflightRequestsMax: integer(
    256,
    'requests',
    { min: 1, max: 65_536 },
    'Unanswered requests of one connection.',
  ),
  inflightSendsMax: integer(
    32,
    'sends',
    { min: 1, max: 32 },
    'Unanswered sends of one connection to one conversation; also the window in which a repeated send is recognised.',
  ),
  socketBufferSoftBytes: integer(
    MIB,
    'bytes',
    { min: 16 * KIB, max: GIB },
    'Unsent bytes of a slow connection from which messages become gaps that it fetches later.',
  ),
  socketBufferHardBytes: integer(
    4 * MIB,
    'bytes',
    { min: 32 * KIB, max: GIB },
    'Unsent bytes at which a slow connection is closed with SLOW_CONSUMER.',
  ),
  connectionsMax: integer(
    100_000,
    'connections',
    { min: 1, max: 10_000_000 },
    'Live connections of one process; further ones get TOO_MANY_CONNECTIONS.',
  ),
};

/** Headings of docs/CONFIG.md, each with the first setting below it. */
export const CONFIG_SECTIONS: readonly (readonly [keyof Config, string])[] = [
  ['host', 'Network'],
  ['dataDir', 'Process and data'],
  ['shards', 'Log and state'],
  ['groupMembersMax', 'Conversations'],
  ['signup', 'Accounts and tokens'],
  ['helloTimeoutMs', 'Connections'],
];
