/** Native popovers used as menus: where they stand and how the keys move in them. */
import type { KeyboardEvent } from 'react';

const GAP_PX = 4;
const EDGE_PX = 8;

/** Opens the menu below what was pressed, at its end side; above where there is no room. */
export function openBeside(menu: HTMLElement, near: HTMLElement): void {
  menu.showPopover();
  const from = near.getBoundingClientRect();
  const size = menu.getBoundingClientRect();
  const below = from.bottom + GAP_PX;
  const top = below + size.height < innerHeight ? below : from.top - size.height - GAP_PX;
  const left = Math.min(from.right - size.width, innerWidth - size.width - EDGE_PX);
  menu.style.top = `${Math.min(Math.max(EDGE_PX, top), innerHeight - size.height - EDGE_PX)}px`;
  menu.style.left = `${Math.max(EDGE_PX, left)}px`;
  menu.querySelector('button')?.focus();
}

export function moveInMenu(e: KeyboardEvent<HTMLElement>, close: () => void): void {
  const items = [...e.currentTarget.querySelectorAll<HTMLElement>('[role="menuitem"]')];
  const at = items.findIndex((item) => item === document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[e.key];
  if (next !== undefined) items.at(next % items.length)?.focus();
  else if (e.key === 'Escape' || e.key === 'Tab') close();
  else return;
  e.preventDefault();
  e.stopPropagation();
}
