// Made by `parsimony types` from the classes of the server. Changes here are lost.

import com.parse.ParseClassName
import com.parse.ParseFile
import com.parse.ParseGeoPoint
import com.parse.ParseInstallation
import com.parse.ParseObject
import com.parse.ParsePolygon
import com.parse.ParseRelation
import com.parse.ParseRole
import com.parse.ParseSession
import com.parse.ParseUser
import java.util.Date

private fun ParseObject.putOrRemove(key: String, value: Any?) =
    if (value == null) remove(key) else put(key, value)

@ParseClassName("Game")
class Game : ParseObject() {
    var area: ParsePolygon?
        get() = getParsePolygon("area")
        set(value) = putOrRemove("area", value)

    var at: Date?
        get() = getDate("at")
        set(value) = putOrRemove("at", value)

    var `class`: String?
        get() = getString("class")
        set(value) = putOrRemove("class", value)

    var done: Boolean?
        get() = get("done") as? Boolean
        set(value) = putOrRemove("done", value)

    var extra: Map<String, Any?>?
        get() = getMap<Any?>("extra")
        set(value) = putOrRemove("extra", value)

    val fans: ParseRelation<User>
        get() = getRelation("fans")

    var icon: ParseFile?
        get() = getParseFile("icon")
        set(value) = putOrRemove("icon", value)

    var owner: User?
        get() = getParseObject("owner") as? User
        set(value) = putOrRemove("owner", value)

    var place: ParseGeoPoint?
        get() = getParseGeoPoint("place")
        set(value) = putOrRemove("place", value)

    var raw: ByteArray?
        get() = getBytes("raw")
        set(value) = putOrRemove("raw", value)

    var rival: ParseObject?
        get() = getParseObject("rival") as? ParseObject
        set(value) = putOrRemove("rival", value)

    var score: Number?
        get() = getNumber("score")
        set(value) = putOrRemove("score", value)

    var tags: List<Any?>?
        get() = getList<Any?>("tags")
        set(value) = putOrRemove("tags", value)

    /** Required. */
    var title: String?
        get() = getString("title")
        set(value) = putOrRemove("title", value)
}

@ParseClassName("_User")
class User : ParseUser() {
    var emailVerified: Boolean?
        get() = get("emailVerified") as? Boolean
        set(value) = putOrRemove("emailVerified", value)
}

/** Registers all classes; before `Parse.initialize`. */
fun registerParseClasses() {
    ParseObject.registerSubclass(Game::class.java)
    ParseObject.registerSubclass(User::class.java)
}

/** Cloud functions of the server. */
object CloudFunctions {
    const val hello = "hello"
    const val pay_now = "pay.now"
}
