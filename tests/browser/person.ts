/** A person at a browser of their own: signs up, writes, reads, as one does by hand. */
import assert from 'node:assert/strict';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { FaultyProxy } from './faulty-proxy.ts';

export const PASSWORD = 'seven long ropes';
export const WAIT_MS = 10_000;

export interface SeenRow {
  readonly key: string;
  readonly sequence: number;
  readonly state: string;
  readonly text: string;
  readonly time: string;
}

export interface Desk {
  readonly context: BrowserContext;
  readonly proxy: FaultyProxy;
}

/** What a page asked of others, what its policy refused, what it complained of (CLIENT §4 case 48). */
export const trespasses: string[] = [];

/** What the browser itself notes of an answer or a connection that a test made fail. */
const NETWORK_NOTE = /^Failed to load resource|^WebSocket connection to/;

export async function openDesk(
  browser: Browser,
  target: () => string,
  options: BrowserContextOptions = {},
): Promise<Desk> {
  const proxy = new FaultyProxy(target);
  await proxy.start();
  const context = await browser.newContext({
    baseURL: proxy.url,
    viewport: { width: 1200, height: 800 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    ...options,
  });
  context.setDefaultTimeout(WAIT_MS);
  context.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== 'data:' && protocol !== 'blob:' && host !== new URL(proxy.url).host)
      trespasses.push(`asked ${request.url()}`);
  });
  await context.exposeFunction('noteRefusal', (what: string) => trespasses.push(what));
  await context.addInitScript(() =>
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      (window as unknown as { noteRefusal(what: string): void }).noteRefusal(
        `refused by the policy: ${violatedDirective} ${blockedURI}`,
      ),
    ),
  );
  context.on('console', (line) => {
    const isTold = line.type() === 'error' || line.type() === 'warning';
    if (isTold && !NETWORK_NOTE.test(line.text())) trespasses.push(line.text());
  });
  context.on('weberror', (error) => trespasses.push(`threw ${error.error().message}`));
  return { context, proxy };
}

export async function closeDesk(desk: Desk): Promise<void> {
  await desk.context.close();
  await desk.proxy.stop();
}

let named = 0;

/** A username nobody else of this run has, and the beginning of no other. */
export function newName(stem: string): string {
  named += 1;
  return `${stem}.${process.pid}.${String(named).padStart(4, '0')}`;
}

export async function signUp(desk: Desk, username: string, displayName = ''): Promise<Page> {
  const page = await desk.context.newPage();
  await page.goto('/');
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Name that others see').fill(displayName);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create account' }).click();
  await ready(page);
  return page;
}

export async function signIn(desk: Desk, username: string, at?: Page): Promise<Page> {
  const page = at ?? (await desk.context.newPage());
  if (at === undefined) await page.goto('/');
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await ready(page);
  return page;
}

export async function ready(page: Page): Promise<void> {
  await page.getByRole('searchbox', { name: 'Find people and conversations' }).waitFor();
}

/** Finds someone by username and opens the 1:1. */
export async function openWith(page: Page, username: string): Promise<void> {
  const find = page.getByRole('searchbox', { name: 'Find people and conversations' });
  await find.fill(username);
  await page.locator('.list-row').first().waitFor();
  await page.locator('.list-row').first().click();
  await composer(page).waitFor();
}

export async function openListed(page: Page, title: string): Promise<void> {
  const named = page.locator('.name', { hasText: title });
  await page.locator('.list-row', { has: named }).first().click();
  await composer(page).waitFor();
}

export function composer(page: Page): ReturnType<Page['locator']> {
  return page.locator('.composer textarea');
}

export async function send(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press('Enter');
}

export async function seen(page: Page): Promise<SeenRow[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>('.row[data-key]')].map((row) => ({
      key: row.dataset['key'] ?? '',
      sequence: Number(row.dataset['sequence'] ?? 0),
      state: row.dataset['state'] ?? '',
      text: row.querySelector('.text, .gone')?.firstChild?.textContent ?? '',
      time: row.querySelector('.at')?.textContent ?? '',
    })),
  );
}

export async function texts(page: Page): Promise<string[]> {
  return (await seen(page)).map((row) => row.text);
}

/** Polls until the rows are as wanted; says what they were when they never are. */
export async function until(
  page: Page,
  isSo: (rows: SeenRow[]) => boolean,
  o: { ms?: number; what?: string } = {},
): Promise<SeenRow[]> {
  const end = Date.now() + (o.ms ?? WAIT_MS);
  for (;;) {
    const rows = await seen(page);
    if (isSo(rows)) return rows;
    if (Date.now() > end)
      assert.fail(`${o.what ?? 'never so'}: ${JSON.stringify(rows.slice(-60))}`);
    await page.waitForTimeout(25);
  }
}

export const SETTLED: ReadonlySet<string> = new Set(['SENT', 'STORED', 'DELIVERED', 'READ']);

export function areSettled(rows: readonly SeenRow[]): boolean {
  return rows.every((row) => row.sequence > 0 && (row.state === '' || SETTLED.has(row.state)));
}

/** After a mended network: the browser says so, as it would. */
export async function comeOnline(desk: Desk): Promise<void> {
  desk.proxy.mend();
  await desk.context.setOffline(true);
  await desk.context.setOffline(false);
}
