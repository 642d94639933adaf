"""What each role gets from each operation: the promise that the matrix is held to.

+ is done. - is refused, to the byte as for something that does not exist: nobody learns what there is. n is refused to
somebody who knows that it exists. i is wrong, or asks for something that is not there. ! is not let in at all.

Columns: the owner, an admin, a member, a muted member of the group; somebody on its blacklist, somebody who was kicked,
somebody invited, somebody who applied, a stranger; somebody whom the peer of a 1:1 conversation has blocked, a friend
of theirs (neither is in the group); a member whose account is frozen; an operator; nobody, without a token.
"""

from __future__ import annotations

from tests.matrix.scene import ROLES

REST = """
                                 own adm mem mut bar kic inv app str blk fri fro ope nob
    register                     +   +   +   +   +   +   +   +   +   +   +   +   +   +
    login                        +   +   +   +   +   +   +   +   +   +   +   +   +   +
    login:unknown                !   !   !   !   !   !   !   !   !   !   !   !   !   !
    refresh                      +   +   +   +   +   +   +   +   +   +   +   !   !   !
    logout                       +   +   +   +   +   +   +   +   +   +   +   !   !   !
    changePassword               +   +   +   +   +   +   +   +   +   +   +   !   !   !
    me                           +   +   +   +   +   +   +   +   +   +   +   !   !   !
    editMe                       +   +   +   +   +   +   +   +   +   +   +   !   !   !
    deleteMe                     n   +   +   +   +   +   +   +   +   +   +   !   !   !
    findUser                     +   +   +   +   +   +   +   +   +   +   +   !   !   !
    privacy                      +   +   +   +   +   +   +   +   +   +   +   !   !   !
    setPrivacy                   +   +   +   +   +   +   +   +   +   +   +   !   !   !
    devices                      +   +   +   +   +   +   +   +   +   +   +   !   !   !
    signOutOthers                +   +   +   +   +   +   +   +   +   +   +   !   !   !
    signOut                      +   +   +   +   +   +   +   +   +   +   +   !   !   !
    users                        +   +   +   +   +   +   +   +   +   +   +   !   !   !
    searchUsers                  +   +   +   +   +   +   +   +   +   +   +   !   !   !
    friends                      +   +   +   +   +   +   +   +   +   +   +   !   !   !
    describeFriend               +   +   +   +   +   +   +   +   +   +   +   !   !   !
    describeFriend:stranger      -   -   -   -   -   -   -   -   -   -   -   !   !   !
    removeFriend                 +   +   +   +   +   +   +   +   +   +   +   !   !   !
    removeFriend:stranger        +   +   +   +   +   +   +   +   +   +   +   !   !   !
    addFriendGroup               +   +   +   +   +   +   +   +   +   +   +   !   !   !
    changeFriendGroup            +   +   +   +   +   +   +   +   +   +   +   !   !   !
    removeFriendGroup            +   +   +   +   +   +   +   +   +   +   +   !   !   !
    friendRequests               +   +   +   +   +   +   +   +   +   +   +   !   !   !
    askFriend                    +   +   +   +   +   +   +   +   +   +   +   !   !   !
    acceptFriend                 +   +   +   +   +   +   +   +   +   +   +   !   !   !
    acceptFriend:unasked         -   -   -   -   -   -   -   -   -   -   -   !   !   !
    refuseFriend                 +   +   +   +   +   +   +   +   +   +   +   !   !   !
    refuseFriend:unasked         -   -   -   -   -   -   -   -   -   -   -   !   !   !
    cancelFriendRequest          +   +   +   +   +   +   +   +   +   +   +   !   !   !
    cancelFriendRequest:unasked  -   -   -   -   -   -   -   -   -   -   -   !   !   !
    blocks                       +   +   +   +   +   +   +   +   +   +   +   !   !   !
    block                        +   +   +   +   +   +   +   +   +   +   +   !   !   !
    liftBlock                    +   +   +   +   +   +   +   +   +   +   +   !   !   !
    liftBlock:unblocked          +   +   +   +   +   +   +   +   +   +   +   !   !   !
    openDirect                   +   +   +   +   +   +   +   +   +   +   +   !   !   !
    openDirect:reserved          -   -   -   -   -   -   -   -   -   +   +   !   !   !
    conversations                +   +   +   +   +   +   +   +   +   +   +   !   !   !
    conversationMembers          +   +   +   +   -   -   -   -   -   -   -   !   !   !
    conversationMembers:direct   -   -   -   -   -   -   -   -   -   +   +   !   !   !
    myRole                       +   +   +   +   -   -   -   -   -   -   -   !   !   !
    myRole:direct                -   -   -   -   -   -   -   -   -   +   +   !   !   !
    createGroup                  +   +   +   +   +   +   +   +   +   +   +   !   !   !
    group                        +   +   +   +   -   -   -   -   -   -   -   !   !   !
    changeGroup                  +   +   n   n   -   -   -   -   -   -   -   !   !   !
    dissolveGroup                +   n   n   n   -   -   -   -   -   -   -   !   !   !
    members                      +   +   +   +   -   -   -   -   -   -   -   !   !   !
    addMembers                   +   +   n   n   -   -   -   -   -   -   -   !   !   !
    kickMany                     +   +   n   n   -   -   -   -   -   -   -   !   !   !
    kick                         +   +   n   n   -   -   -   -   -   -   -   !   !   !
    setRole                      +   n   n   n   -   -   -   -   -   -   -   !   !   !
    leave                        n   +   +   +   -   -   -   -   -   -   -   !   !   !
    transfer                     +   n   n   n   -   -   -   -   -   -   -   !   !   !
    setMemberTitle               +   +   n   n   -   -   -   -   -   -   -   !   !   !
    announce                     +   +   n   n   -   -   -   -   -   -   -   !   !   !
    unannounce                   +   +   n   n   -   -   -   -   -   -   -   !   !   !
    ownMembership                +   +   +   +   -   -   -   -   -   -   -   !   !   !
    changeOwnMembership          +   +   +   +   -   -   -   -   -   -   -   !   !   !
    door                         -   -   -   -   -   -   -   +   -   -   -   !   !   !
    joinGroup                    +   +   +   +   -   -   -   +   -   -   -   !   !   !
    joinGroup:open               +   +   +   +   -   +   -   +   +   +   +   !   !   !
    applications                 +   +   n   n   -   -   -   -   -   -   -   !   !   !
    approveApplication           +   +   n   n   -   -   -   -   -   -   -   !   !   !
    refuseApplication            +   +   n   n   -   -   -   -   -   -   -   !   !   !
    myApplications               +   +   +   +   +   +   +   +   +   +   +   !   !   !
    cancelApplication            -   -   -   -   -   -   -   +   -   -   -   !   !   !
    invite                       +   +   n   n   -   -   -   -   -   -   -   !   !   !
    myInvitations                +   +   +   +   +   +   +   +   +   +   +   !   !   !
    acceptInvitation             -   -   -   -   -   -   +   -   -   -   -   !   !   !
    refuseInvitation             -   -   -   -   -   -   +   -   -   -   -   !   !   !
    mute                         +   +   n   n   -   -   -   -   -   -   -   !   !   !
    mute:everybody               +   +   n   n   -   -   -   -   -   -   -   !   !   !
    mute:direct                  -   -   -   -   -   -   -   -   -   n   n   !   !   !
    blacklist                    +   +   n   n   -   -   -   -   -   -   -   !   !   !
    blacklisted                  +   +   n   n   -   -   -   -   -   -   -   !   !   !
    unblacklist                  +   +   n   n   -   -   -   -   -   -   -   !   !   !
    accountState                 !   !   !   !   !   !   !   !   !   !   !   !   +   !
    setAccountState              !   !   !   !   !   !   !   !   !   !   !   !   +   !
    setAccountLevel              !   !   !   !   !   !   !   !   !   !   !   !   +   !
    deviceBans                   !   !   !   !   !   !   !   !   !   !   !   !   +   !
    liftDeviceBan                !   !   !   !   !   !   !   !   !   !   !   !   +   !
    operatorCreateGroup          !   !   !   !   !   !   !   !   !   !   !   !   +   !
    operatorGroup                !   !   !   !   !   !   !   !   !   !   !   !   +   !
    operatorChangeGroup          !   !   !   !   !   !   !   !   !   !   !   !   +   !
    operatorDissolveGroup        !   !   !   !   !   !   !   !   !   !   !   !   +   !
    operatorAddMembers           !   !   !   !   !   !   !   !   !   !   !   !   +   !
    operatorRemoveMembers        !   !   !   !   !   !   !   !   !   !   !   !   +   !
    operatorTransferGroup        !   !   !   !   !   !   !   !   !   !   !   !   +   !
    reviews                      !   !   !   !   !   !   !   !   !   !   !   !   +   !
    review                       !   !   !   !   !   !   !   !   !   !   !   !   i   !
    decideReview                 !   !   !   !   !   !   !   !   !   !   !   !   i   !
    deadEvents                   !   !   !   !   !   !   !   !   !   !   !   !   +   !
    replayEvents                 !   !   !   !   !   !   !   !   !   !   !   !   +   !
    replayEvent                  !   !   !   !   !   !   !   !   !   !   !   !   i   !
    auditEvents                  !   !   !   !   !   !   !   !   !   !   !   !   +   !
    explainMessage               !   !   !   !   !   !   !   !   !   !   !   !   +   !
    gateways                     +   +   +   +   +   +   +   +   +   +   +   +   +   +
    openapi                      +   +   +   +   +   +   +   +   +   +   +   +   +   +
"""

WIRE = """
                            own adm mem mut bar kic inv app str blk fri fro ope nob
    connect                 +   +   +   +   +   +   +   +   +   +   +   !   !   !
    send:text               +   +   +   n   -   -   -   -   -   -   -   !   !   !
    send:media              +   +   +   n   -   -   -   -   -   -   -   !   !   !
    send:custom             +   +   +   n   -   -   -   -   -   -   -   !   !   !
    send:direct text        -   -   -   -   -   -   -   -   -   n   +   !   !   !
    send:direct media       -   -   -   -   -   -   -   -   -   n   +   !   !   !
    send:to a peer          -   -   -   -   -   -   -   -   -   n   +   !   !   !
    send:to anybody         +   +   +   +   +   +   +   +   +   +   +   !   !   !
    recall:own              +   +   +   +   -   -   -   -   -   -   -   !   !   !
    recall:others'          +   +   n   n   -   -   -   -   -   -   -   !   !   !
    historyReq              +   +   +   +   -   -   -   -   -   -   -   !   !   !
    historyReq:direct       -   -   -   -   -   -   -   -   -   +   +   !   !   !
    syncReq                 +   +   +   +   +   +   +   +   +   +   +   !   !   !
    queryMessageStatusReq   +   +   +   +   -   -   -   -   -   -   -   !   !   !
    receiptsReq             +   +   +   +   -   -   -   -   -   -   -   !   !   !
    read                    +   +   +   +   -   -   -   -   -   -   -   !   !   !
    deliverAck              +   +   +   +   -   -   -   -   -   -   -   !   !   !
    typing                  +   +   +   n   -   -   -   -   -   -   -   !   !   !
    typing:direct           -   -   -   -   -   -   -   -   -   n   +   !   !   !
    presenceSubscribeReq    +   +   +   +   +   +   +   +   +   +   +   !   !   !
    conversationListReq     +   +   +   +   +   +   +   +   +   +   +   !   !   !
    refreshToken            +   +   +   +   +   +   +   +   +   +   +   !   !   !
    refreshToken:another's  !   !   !   !   !   !   !   !   !   !   !   !   !   !
"""


def expected(table: str) -> dict[str, dict[str, str]]:
    """Row to role to outcome."""
    head, *lines = [line for line in table.splitlines() if line.strip()]
    assert len(head.split()) == len(ROLES), head
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        name, cells = line.strip().split("  ", 1)
        outcomes = cells.split()
        assert len(outcomes) == len(ROLES), line
        rows[name] = dict(zip(ROLES, outcomes, strict=True))
    return rows
