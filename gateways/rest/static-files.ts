/**
 * The web client's files, with the headers that keep its pages to themselves (CLIENT §2): nothing
 * from elsewhere is loaded, run or connected to. Names with a hash are kept for ever, the page itself
 * is asked for each time.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface StaticFilesOptions {
  /** Directory of the built client; may not exist. */
  readonly dir: string;
  /** Sources besides 'self' that pages may connect to: the WebSocket URL. */
  readonly connectSources: () => readonly string[];
}

interface CachedFile {
  readonly modifiedMs: number;
  readonly bytes: Buffer;
  readonly gzipped: Buffer | undefined;
  readonly etag: string;
  readonly type: string;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
};
const COMPRESSIBLE = /^(text|application|image\/svg)/;
const HASHED_NAME = /[.-][A-Za-z0-9_-]{8,}\.[a-z0-9]+$/;
const CACHED_FILES_MAX = 500;
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const YEAR_S = 31_536_000;

export class StaticFiles {
  readonly #dir: string;
  readonly #connectSources: () => readonly string[];
  readonly #cache = new Map<string, CachedFile>();

  constructor(options: StaticFilesOptions) {
    this.#dir = options.dir;
    this.#connectSources = options.connectSources;
  }

  /** Answers a GET or HEAD; false = there is no such file, and nothing was written. */
  async serve(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const name = fileNameOf(path);
    const isPage = name !== undefined && extname(name) === '';
    const file = name === undefined || isPage ? undefined : await this.#load(name);
    if (file !== undefined && name !== undefined) {
      this.#write(request, response, file, HASHED_NAME.test(name));
      return true;
    }
    // Every other address that a person opens is a place within the one page.
    const isForPeople = path === '/' || (request.headers.accept ?? '').includes('text/html');
    if (!isPage || !isForPeople) return false;
    const page = await this.#load('index.html');
    if (page === undefined) return false;
    this.#write(request, response, page, false);
    return true;
  }

  #write(
    request: IncomingMessage,
    response: ServerResponse,
    file: CachedFile,
    isImmutable: boolean,
  ): void {
    const headers = this.#headers(file, isImmutable);
    if (request.headers['if-none-match'] === file.etag) {
      response.writeHead(304, headers).end();
      return;
    }
    const accepts = request.headers['accept-encoding'] ?? '';
    const isGzip = file.gzipped !== undefined && /\bgzip\b/.test(String(accepts));
    const body = isGzip && file.gzipped !== undefined ? file.gzipped : file.bytes;
    response.writeHead(200, {
      ...headers,
      'content-type': file.type,
      'content-length': body.length,
      ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  #headers(file: CachedFile, isImmutable: boolean): Record<string, string> {
    return {
      etag: file.etag,
      vary: 'Accept-Encoding',
      'cache-control': isImmutable ? `public, max-age=${YEAR_S}, immutable` : 'no-cache',
      'content-security-policy': contentSecurityPolicy(this.#connectSources()),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'permissions-policy': 'camera=(), microphone=(), geolocation=()',
    };
  }

  async #load(name: string): Promise<CachedFile | undefined> {
    const path = join(this.#dir, name);
    try {
      const { mtimeMs, size } = await stat(path);
      const known = this.#cache.get(name);
      if (known?.modifiedMs === mtimeMs) return known;
      if (size > FILE_BYTES_MAX) return undefined;
      const bytes = await readFile(path);
      const file = cached(name, bytes, mtimeMs);
      if (this.#cache.size >= CACHED_FILES_MAX) this.#cache.clear();
      this.#cache.set(name, file);
      return file;
    } catch {
      return undefined;
    }
  }
}

export function contentSecurityPolicy(connectSources: readonly string[]): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "font-src 'self'",
    "media-src 'self' blob:",
    ["connect-src 'self'", ...connectSources].join(' '),
    "worker-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types parley',
  ].join('; ');
}

/** The file within the directory that a path names; undefined = it names none. */
function fileNameOf(path: string): string | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  if (decoded.includes('\0') || decoded.includes('\\')) return undefined;
  const name = normalize(decoded).replace(/^[/\\]+/, '');
  if (name.split(sep).some((part) => part.startsWith('.') && part !== '.')) return undefined;
  return name === '.' ? '' : name;
}

function cached(name: string, bytes: Buffer, modifiedMs: number): CachedFile {
  const type = TYPES[extname(name)] ?? 'application/octet-stream';
  // Once a file: the answer is kept, so no request waits for it again.
  const gzipped = COMPRESSIBLE.test(type) && bytes.length > 512 ? gzipSync(bytes) : undefined;
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  return { modifiedMs, bytes, gzipped, etag, type };
}
