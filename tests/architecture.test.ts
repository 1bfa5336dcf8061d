/**
 * Who may import whom (docs/STYLE.md §2), no cycles, no default exports, and the purity of the pure
 * rooms. Everything that the table does not name is forbidden.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'mocha';
import { parseSync } from 'oxc-parser';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Most specific first: the first folder that a file lies in is its room. */
const ROOMS = [
  'broker/consensus', 'broker/conversation', 'broker/account', 'broker/fanout', 'broker/placement', 'broker/runtime', 'broker/service',
  'gateways/session', 'gateways', 'services', 'storage-engine', 'core', 'proto', 'server', 'clients/sdk', 'clients/web', 'bench', 'tools', 'tests',
] as const; // biome-ignore format: a list
type Room = (typeof ROOMS)[number];

const PURE_BROKER: readonly Room[] = [
  'broker/consensus',
  'broker/conversation',
  'broker/account',
  'broker/fanout',
  'broker/placement',
];
const PURE: ReadonlySet<Room> = new Set<Room>([...PURE_BROKER, 'gateways/session']);

const MAY_IMPORT: Readonly<Record<Room, readonly Room[]>> = {
  core: [],
  proto: [],
  'storage-engine': ['core'],
  'broker/consensus': ['core'],
  'broker/conversation': ['core'],
  'broker/account': ['core'],
  'broker/fanout': ['core', 'broker/conversation'],
  'broker/placement': ['core'],
  'broker/runtime': ['core', 'proto', 'storage-engine', ...PURE_BROKER],
  'broker/service': ['core', 'proto', 'storage-engine', 'broker/runtime', ...PURE_BROKER],
  'gateways/session': ['core'],
  gateways: ['gateways/session', 'core', 'proto'],
  services: ['core', 'proto'],
  server: [
    'core',
    'proto',
    'storage-engine',
    ...PURE_BROKER,
    'broker/runtime',
    'broker/service',
    'gateways/session',
    'gateways',
    'services',
  ],
  'clients/sdk': [],
  'clients/web': ['clients/sdk'],
  bench: ['core', 'proto', 'clients/sdk'],
  tools: ['core', 'proto', 'clients/sdk'],
  tests: ROOMS,
};

/** Type-only imports that the table allows besides. */
const MAY_IMPORT_TYPES: Readonly<Partial<Record<Room, readonly Room[]>>> = {
  'broker/consensus': ['proto'],
  'broker/conversation': ['proto'],
  'broker/account': ['proto'],
  'broker/fanout': ['proto'],
  'broker/placement': ['proto'],
  'gateways/session': ['proto'],
};

/** tools/ makes documents of the tables that server/ and services/ own. */
const EXCEPTIONS: ReadonlySet<string> = new Set(['tools → server', 'tools → services']);

const STORAGE_CONTRACTS =
  /^storage-engine\/(contract|keys|block|sparse|envelope|wal\/frame|storage-error)\.ts$/;
const FORBIDDEN_GLOBALS =
  /\b(Date\.now|new Date\(|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|process\.)/;

interface Import {
  readonly from: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
  readonly hasDefaultExport: boolean;
  readonly hasAsync: boolean;
}

describe('architecture', function () {
  this.timeout(20_000);
  const sources = list('.').map(parse);
  const product = sources.filter(({ path }) => !isTest(path));

  it('sees the whole tree', () => {
    assert.ok(product.length > 40, `only ${product.length} files`);
    assert.ok(product.flatMap(({ imports }) => imports).length > 100);
  });

  it('each room imports only what the table allows', () => {
    const offending: string[] = [];
    for (const { path, imports } of product) {
      const room = roomOf(path);
      for (const { specifier, typeOnly } of imports) {
        if (!specifier.startsWith('.')) continue;
        const target = posix.normalize(posix.join(dirname(path), specifier));
        const to = roomOf(target);
        if (to === room || isAllowed(room, to, typeOnly) || EXCEPTIONS.has(`${room} → ${to}`))
          continue;
        offending.push(`${path} → ${target}`);
      }
    }
    assert.deepEqual(offending, []);
  });

  it('the broker knows the storage engine by its contracts and formats alone', () => {
    const offending = product
      .filter(({ path }) => path.startsWith('broker/'))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ specifier }) => specifier.startsWith('.'))
          .map(({ specifier }) => posix.normalize(posix.join(dirname(path), specifier)))
          .filter(
            (target) => target.startsWith('storage-engine/') && !STORAGE_CONTRACTS.test(target),
          )
          .map((target) => `${path} → ${target}`),
      );
    assert.deepEqual(offending, []);
  });

  it('pure rooms use no Node, no packages, no promises, no clock and no chance', () => {
    const offending: string[] = [];
    for (const { path, imports, hasAsync, text } of product) {
      if (!PURE.has(roomOf(path))) continue;
      for (const { specifier } of imports)
        if (!specifier.startsWith('.')) offending.push(`${path} imports ${specifier}`);
      if (hasAsync) offending.push(`${path} is asynchronous`);
      const global = FORBIDDEN_GLOBALS.exec(withoutComments(text));
      if (global !== null) offending.push(`${path} uses ${global[0]}`);
    }
    assert.deepEqual(offending, []);
  });

  it('there are no cycles, type-only imports included', () => {
    const graph = new Map(
      product.map(({ path, imports }) => [
        path,
        imports
          .filter(({ specifier }) => specifier.startsWith('.'))
          .map(({ specifier }) => posix.normalize(posix.join(dirname(path), specifier))),
      ]),
    );
    assert.deepEqual(cycles(graph), []);
  });

  it('nothing is exported by default and only server/, tools/ and clients/ read the environment', () => {
    const offending = product
      .filter(({ path }) => !/(^clients\/web\/.*\.config\.ts$|^bench\/k6\/)/.test(path))
      .filter(({ hasDefaultExport }) => hasDefaultExport)
      .map(({ path }) => path);
    assert.deepEqual(offending, []);
    const readers = product.filter(
      ({ path, text }) =>
        /process\.env/.test(withoutComments(text)) &&
        !/^(server|tools|bench|tests|clients)\//.test(path),
    );
    assert.deepEqual(
      readers.map(({ path }) => path),
      [],
    );
  });

  it('no room is called common, shared, lib, utils, helpers or misc', () => {
    const named = sources.filter(({ path }) =>
      /(^|\/)(common|shared|lib|utils?|helpers?|misc)(\/|\.ts)/.test(path),
    );
    assert.deepEqual(
      named.map(({ path }) => path),
      [],
    );
  });
});

function isAllowed(room: Room, to: Room, typeOnly: boolean): boolean {
  return (
    MAY_IMPORT[room].includes(to) || (typeOnly && (MAY_IMPORT_TYPES[room]?.includes(to) ?? false))
  );
}

function roomOf(path: string): Room {
  const room = ROOMS.find((name) => path.startsWith(`${name}/`));
  assert.ok(room !== undefined, `${path} lies in no room`);
  return room;
}

/** Tests and the suites that they share may import what they judge. */
function isTest(path: string): boolean {
  return (
    /\.test\.tsx?$|(link|store|wal|state)-contract\.ts$|\/(testing|test-kit)(\/|\.ts$)|^clients\/web\/dev\//.test(
      path,
    ) ||
    path.endsWith('websocket/contract.ts') ||
    path.startsWith('tests/')
  );
}

function list(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory())
      return /^(node_modules|dist.*|data|gen|\..*)$/.test(entry.name) ? [] : list(path);
    return /\.tsx?$/.test(entry.name) && path.includes('/') ? [path] : [];
  });
}

function parse(path: string): Source {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const { module, program } = parseSync(path, text);
  const imports = [
    ...module.staticImports.map((item) => ({
      from: path,
      specifier: item.moduleRequest.value,
      typeOnly: item.entries.length > 0 && item.entries.every((entry) => entry.isType),
    })),
    ...module.staticExports.flatMap((item) =>
      item.entries
        .filter((entry) => entry.moduleRequest !== null)
        .map((entry) => ({
          from: path,
          specifier: entry.moduleRequest?.value ?? '',
          typeOnly: entry.isType,
        })),
    ),
  ];
  const hasDefaultExport = program.body.some((node) => node.type === 'ExportDefaultDeclaration');
  return {
    path,
    text,
    imports,
    hasDefaultExport,
    hasAsync: /\basync\b|\bawait\b|\bnew Promise\b/.test(withoutComments(text)),
  };
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`])\/\/.*$/gm, '$1');
}

/** Each cycle once, as a path; found by depth-first search. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    const back = trail.indexOf(path);
    if (back >= 0) {
      found.push([...trail.slice(back), path].join(' → '));
      return;
    }
    if (done.has(path)) return;
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) walk(path, []);
  return found;
}
