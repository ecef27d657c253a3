// Made by `parsimony types` from the classes of the server. Changes here are lost.

import Foundation
import ParseSwift

struct Game: ParseObject {
    var objectId: String?
    var createdAt: Date?
    var updatedAt: Date?
    var ACL: ParseACL?
    var originalData: Data?

    var area: ParsePolygon?
    var at: Date?
    var `class`: String?
    var done: Bool?
    var extra: [String: AnyCodable]?
    var icon: ParseFile?
    var owner: Pointer<User>?
    var place: ParseGeoPoint?
    var raw: ParseBytes?
    var rival: AnyCodable?
    var score: Double?
    var tags: [AnyCodable]?
    var title: String? // required

    var fans: ParseRelation<Game>? { try? self.relation("fans") }
}

struct User: ParseUser {
    var objectId: String?
    var createdAt: Date?
    var updatedAt: Date?
    var ACL: ParseACL?
    var originalData: Data?

    var authData: [String: [String: String]?]?
    var email: String?
    var emailVerified: Bool?
    var password: String?
    var username: String?
}

/// Cloud functions of the server.
enum CloudFunction: String {
    case hello = "hello"
    case pay_now = "pay.now"
}
