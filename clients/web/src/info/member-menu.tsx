/** What one's role allows to do with a member (CONTRACT §5): a native popover. */
import type { Conversation, Role } from '@parley/sdk';
import { type ReactNode, useRef, useState } from 'react';
import { Icon } from '../art/icons.tsx';
import { moveInMenu, openBeside } from '../chat/menu.ts';
import { roleChoices } from './roles.ts';

/** Runs an action on members and says why it did not work. */
export type Act = (run: () => Promise<void>) => Promise<void>;

interface MemberMenuProps {
  readonly conversation: Conversation;
  readonly userId: string;
  readonly name: string;
  readonly role: Role;
  readonly myRole: Role | undefined;
  readonly act: Act;
}

export function MemberMenu(props: MemberMenuProps): ReactNode {
  const { members } = props.conversation;
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  const [isOpen, setOpen] = useState(false);
  const choices = roleChoices(props.myRole, props.role);
  if (choices === undefined) return null;
  const open = (): void => {
    if (menu.current !== null && button.current !== null) openBeside(menu.current, button.current);
  };
  const close = (): void => {
    menu.current?.hidePopover();
    button.current?.focus();
  };
  const choose = (run: () => Promise<void>): void => {
    close();
    void props.act(run);
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        className="icon-button"
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-label={`Actions for ${props.name || 'this member'}`}
        onClick={open}
      >
        <Icon name="more" />
      </button>
      <div
        ref={menu}
        className="menu"
        popover="auto"
        role="menu"
        aria-label={`Actions for ${props.name || 'this member'}`}
        onToggle={(e) => setOpen(e.newState === 'open')}
        onKeyDown={(e) => moveInMenu(e, close)}
      >
        {choices.roles.map((role) => (
          <button
            key={role}
            type="button"
            role="menuitem"
            onClick={() => choose(() => members.setRole(props.userId, role))}
          >
            Make {role}
          </button>
        ))}
        {choices.canRemove && (
          <button
            type="button"
            role="menuitem"
            className="danger"
            onClick={() => choose(() => members.remove(props.userId))}
          >
            Remove from the group
          </button>
        )}
      </div>
    </>
  );
}
